"""`handreid tune` and `sweeps` from the front door, with trainers that pretend."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.contract import run_files
from handreid_tui.runs.directory import list_runs
from tests.support.sweep_tools import sweep_runs

__all__ = ["sweep_runs"]
SMALL = ["--model", "handreid-tiny", "--device", "cpu", "--set", "train.ids_per_batch=5", "--set", "data.trials=2"]
BUDGET = ["--trials", "3", "--shortlist", "1", "--confirm", "1", "--parallel", "4"]


def handreid(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "handreid_tui", *map(str, words)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.mark.long
def test_tune_runs_to_its_end_and_the_history_rebuilds_the_same(hands: Path, sweep_runs: Path) -> None:
    place = sweep_runs.parent
    done = handreid(place, "tune", "--combo", "ce", "--combo", "ce_triplet", "--data", hands, *SMALL, *BUDGET, "--json")
    assert done.returncode == 0, done.stderr
    assert "2 combinations · 3 trials each over 3 to 5 settings · up to 14 trainings" in done.stderr
    shown = json.loads(done.stdout)
    assert shown["phase"] == "finished"
    assert shown["counts"] == {"finished": 14}
    assert [combo["combo"] for combo in shown["combos"]] == ["ce", "ce_triplet"]
    assert all(len(combo["expected_best"]) == 3 for combo in shown["combos"])
    listed = json.loads(handreid(place, "runs", "--filter", "sweep:1 role:trial", "--json").stdout)
    assert sorted((run["combo"], run["trial"]) for run in listed) == [
        (combo, trial) for combo in ("ce", "ce_triplet") for trial in range(3)
    ]
    before = handreid(place, "sweeps", "--json").stdout
    runs = handreid(place, "runs", "--json").stdout
    (place / "runs.db").unlink()
    handreid(place, "rebuild")
    assert handreid(place, "sweeps", "--json").stdout == before
    assert handreid(place, "runs", "--json").stdout == runs
    text = handreid(place, "sweeps", "@1").stdout
    assert "chosen" in text
    assert "recipe" in text
    assert "@1 · finished · 14/14" in handreid(place, "sweeps").stdout
    assert handreid(place, "stop", "@1").returncode == 2
    assert "--undo" in handreid(place, "rm", "@1", "--yes").stderr
    assert not list_runs(sweep_runs)
    assert json.loads(handreid(place, "sweeps", "--json").stdout) == []
    assert handreid(place, "rm", "@1", "--yes").returncode == 2
    assert handreid(place, "rm", "--undo").returncode == 0
    assert handreid(place, "sweeps", "--json").stdout == before
    assert handreid(place, "runs", "--json").stdout == runs
    handreid(place, "rm", "@1", "--yes")
    handreid(place, "rm", "--purge", "--yes")
    assert handreid(place, "rm", "--undo", "@1").returncode == 2
    assert not list((sweep_runs / run_files.SWEEPS).rglob("0001.*"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Name the combinations to tune"),
        (["--combo", "zero_shot"], "nothing to tune"),
        (["--combo", "ce", "--over", "loss.triplet.margin=0.1..0.5"], "none of the settings"),
        (["--combo", "ce", "--over", "train.ids_per_batch=8..64:8"], "--ids-per-batch"),
        (["--combo", "ce", "--over", "loss.ce.smoothing=0.5..1.5"], "must be below 1"),
        (["--combo", "ce", "--set", "evaluation.test=true"], "evaluation.test cannot be set here"),
        (["--combo", "ce", "--set", "train.lr=1,2"], "--over train.lr"),
        (["--combo", "ce", "--folds", "3"], "--folds is 1 or 4"),
        (["--combo", "ce", "--trials", "200"], "Train up to 212 runs"),
        (["--combo", "ce", "--budget", "soon"], "--budget is a time"),
        (["--combo", "ce", "--budget", "1h"], "No comparable run"),
        (["--more", "@7", "--trials", "9"], "No such sweep: @7"),
        (["--more", "7", "--trials", "9"], "named by its number, like @3"),
    ],
    ids=str,
)
def test_a_mistake_is_one_sentence_and_nothing_is_made(
    words: list[str], said: str, hands: Path, sweep_runs: Path
) -> None:
    done = handreid(sweep_runs.parent, "tune", "--data", hands, *SMALL, *words)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert not list_runs(sweep_runs)
    assert not list(sweep_runs.glob(".sweeps/*.json"))
