"""A history and runs of the version before METRICS and typed events: they open, list, compare and rebuild."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.history.test_ingest import dump

OLD = Path(__file__).parents[1] / "data" / "old_history"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    shutil.copytree(OLD, tmp_path / "old")
    return tmp_path / "old"


def handreid(place: Path, *words: str) -> Any:
    command = [sys.executable, "-m", "handreid_tui", *words]
    environment = os.environ | {"HANDREID_DB": str(place / "runs.db"), "HANDREID_RUNS": str(place / "runs")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def missing(old: Any, new: Any, at: str = "") -> list[str]:
    """Where `new` does not hold what `old` held; it may hold more, know what was None, and word its notes otherwise."""
    if isinstance(old, dict) and isinstance(new, dict):
        absent = [f"{at}.{key}" for key in old.keys() - new.keys()]
        return absent + [
            found for key in old.keys() & new.keys() for found in missing(old[key], new[key], f"{at}.{key}")
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [found for n, pair in enumerate(zip(old, new, strict=True)) for found in missing(*pair, f"{at}[{n}]")]
    if ".notes[" in at:
        return [] if isinstance(new, str) and new else [f"{at}: the note is gone"]
    same = old == pytest.approx(new) if isinstance(old, float) else old == new
    return [] if same or old is None or at.endswith((".path", ".runs.db")) else [f"{at}: {old!r} became {new!r}"]


@pytest.mark.parametrize("kept", [True, False], ids=["opened", "rebuilt"])
def test_an_old_history_lists_and_compares_as_before(place: Path, kept: bool) -> None:
    if not kept:
        (place / "runs.db").unlink()
    for name, words in (
        ("runs", ["runs", "--json"]),
        ("show", ["show", "3", "--json"]),
        ("compare", ["compare", "--format", "json"]),
    ):
        assert missing(json.loads((OLD / f"{name}.json").read_text()), handreid(place, *words)) == [], name


def test_an_old_history_holds_what_a_rebuilt_one_does(place: Path) -> None:
    from handreid_tui.history import ingest, open_history

    content = []
    for db in (place / "runs.db", place / "rebuilt.db"):
        history = open_history(db)
        ingest(history, place / "runs")
        content.append(dump(history))
        history.dispose()
    assert content[0] == content[1]
