"""Following runs from the command line: each thing is said once, and many runs cost little."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from engine.contract.events import EventWriter
from handreid_tui.cli import follow
from handreid_tui.launch import lifecycle
from handreid_tui.runs.progress import RunProgress
from handreid_tui.runs.safe_files import write_json
from handreid_tui.runs.state import State, observe
from tests.cli.test_run import SMALL
from tests.support.events import event
from tests.support.run_files import Trainer, finish, make_run

FAILING_TRAINER = """
import json, sys
from engine.contract.events import EventWriter, parse

def event(kind, **fields):
    return parse(json.dumps({"kind": kind, **fields}))

events = EventWriter(sys.argv[1] + "/events.jsonl")
events.write(event("started", train_images=60))
events.write(event("ended", status="failed", reason={"kind": sys.argv[0].split("-")[-1][:-3], "message": "It broke."}))
sys.exit(1)
"""


def failing(*words: object, cwd: Path, kind: str = "error", **options: Any) -> subprocess.CompletedProcess[str]:
    """A command whose trainer fails at once."""
    trainer = cwd / f"trainer-{kind}.py"
    trainer.write_text(FAILING_TRAINER)
    command = [sys.executable, "-m", "handreid_tui", *map(str, words)]
    environment = os.environ | {"HANDREID_TRAINER": str(trainer)}
    given: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run(command, cwd=cwd, text=True, env=environment, **given)


def test_a_failure_is_said_once(hands: Path, tmp_path: Path) -> None:
    done = failing("run", "--combo", "ce", "--data", hands, *SMALL, cwd=tmp_path)
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if "It broke." in line] == ["0001-ce: failed: It broke."]
    done = failing("resume", "last", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "0001-ce: started on None, 60 training images",
        "0001-ce: failed: It broke.",
    ]
    done = failing("resume", "last", cwd=tmp_path, kind="usage")
    assert done.stderr.splitlines()[1:] == ["0001-ce: failed: It broke."]
    done = failing("run", "--combo", "ce", "--data", hands, *SMALL, cwd=tmp_path, kind="usage")
    assert (done.returncode, done.stderr.count("It broke.")) == (2, 1)


def test_json_goes_to_stdout_when_the_display_is_on_a_terminal(hands: Path, tmp_path: Path) -> None:
    terminal, screen = pty.openpty()
    done = failing("run", "--combo", "ce", "--data", hands, *SMALL, "--json", cwd=tmp_path, stderr=screen)
    os.close(screen)
    assert json.loads(done.stdout)["reason"] == "It broke."
    assert b"0001-ce: failed: It broke." in os.read(terminal, 1 << 16)
    os.close(terminal)


def test_only_runs_that_go_on_are_drawn_and_the_others_counted(tmp_path: Path) -> None:
    waits, ended, going = (make_run(tmp_path, combo) for combo in ("ce", "ce_triplet", "ce_arcface"))
    write_json(waits / "queued.json", {"t": 0.0})
    finish(ended)
    Trainer(going).start().steps(0, 3)
    runs = [RunProgress(path) for path in (waits, ended, going)]
    assert [follow._look(run, print_events=False) for run in runs] == [False, True, False]
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(follow._screen(runs, 0))
    shown = console.export_text().splitlines()
    assert [line.split()[0] for line in shown] == ["run", "0003-ce_arcface", "1"]
    assert shown[-1].rstrip() == "1 queued · 1 finished"


def test_following_rests_ten_times_as_long_as_it_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [make_run(tmp_path) for _ in range(3)]
    for path in paths:
        write_json(path / "queued.json", {"t": 0.0})
    looks, rests = [], []

    def slow(path: Path) -> State:
        looks.append(path)
        time.sleep(0.02)
        return observe(path)

    def rest(seconds: float) -> None:
        rests.append(seconds)
        for path in paths:
            (path / "queued.json").unlink()
            EventWriter(path / "events.jsonl").write(event("ended", status="finished", reason=None, summary=None))

    monkeypatch.setattr(follow, "observe", slow)
    monkeypatch.setattr(lifecycle, "ensure_supervised", lambda folders: None)
    monkeypatch.setattr(follow, "time", SimpleNamespace(sleep=rest, monotonic=time.monotonic))
    assert follow.follow([RunProgress(path) for path in paths], lambda run: None) is False
    assert len(looks) == 2 * len(paths)
    assert len(rests) == 1 and rests[0] >= 0.6
