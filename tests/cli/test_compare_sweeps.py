"""Real trainings from the front door: a tiny sweep beside untuned runs, compared, and a grid selected by validation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = ["--model", "handreid-tiny", "--device", "cpu", "--epochs", "1", "--set", "train.ids_per_batch=5"]
SMALL += ["--set", "train.images_per_id=2", "--set", "data.trials=2", "--set", "threads=1"]


def handreid(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "handreid_tui", *map(str, words)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.mark.long
def test_a_tuned_row_stands_beside_untuned_ones_without_a_verdict(hands: Path, tmp_path: Path) -> None:
    budget = ["--trials", "2", "--shortlist", "1", "--confirm", "2"]
    assert handreid(tmp_path, "tune", "--combo", "ce", "--data", hands, *SMALL, *budget).returncode == 0
    grid = ["--lr", "1e-3,3e-3", "--seed", "0-1", "--parallel", "2"]
    assert handreid(tmp_path, "run", "--combo", "ce", "--data", hands, *SMALL, *grid).returncode == 0
    (protocol,) = json.loads(handreid(tmp_path, "compare", "--json").stdout)["protocols"]
    rows = {row["row"]: row for row in protocol["rows"]}
    assert rows["ce (tuned, sweep 1)"]["tuning"]["trials"] == 2
    assert rows["ce (tuned, sweep 1)"]["seeds"] == 2
    verdicts = {row["differences"]["mAP"]["verdict"] for row in rows.values() if row["tuning"]}
    assert verdicts == {None}
    alone = json.loads(handreid(tmp_path, "compare", "@1", "--json").stdout)["protocols"][0]["rows"]
    assert [row["row"] for row in alone if row["runs"]] == ["ce (tuned, sweep 1)"]
    selected = handreid(tmp_path, "compare", "--select", "validation").stdout
    assert "1 of 2 by validation" in selected
    for run in (tmp_path / "runs").glob("0*-*"):
        role = json.loads((run / "sweep.json").read_text())["role"] if (run / "sweep.json").exists() else ""
        stages = {json.loads(line).get("stage") for line in (run / "events.jsonl").open()}
        tested = role not in ("trial", "shortlist")
        assert (run / "evaluation").exists() is tested
        assert ({"pixels", "before", "final"} <= stages) is tested
        assert tested or not stages & {"pixels", "before", "final"}
