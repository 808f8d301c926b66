"""What the tests of launching share: runs with a trainer that only pretends, and a look at processes."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from engine.contract import run_files
from engine.contract.config import resolve
from handreid_tui.runs.directory import create
from tests.support.events import raw_events

PRETENDING_TRAINER = '''
"""Pretends to train: a step every few milliseconds, a checkpoint after each, and it resumes from that."""
import json, os, signal, sys, time
from pathlib import Path
from engine.contract.events import EventWriter, parse

def event(kind, **fields):
    return parse(json.dumps({"kind": kind, **fields}))

run = Path(sys.argv[1])
plan = json.loads((run / "plan.json").read_text()) if (run / "plan.json").exists() else {}
stopping = False

def stop(*_):
    global stopping
    stopping = True

if plan.get("deaf"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
elif not plan.get("unprepared"):
    signal.signal(signal.SIGTERM, stop)
checkpoint = run / "checkpoint.json"
first = json.loads(checkpoint.read_text())["step"] if checkpoint.exists() else 0
events = EventWriter(run / "events.jsonl")
visible = os.environ.get("CUDA_VISIBLE_DEVICES")
events.write(event("started", pid=os.getpid(), resumed_from=first or None, device_name=visible))
print("hello from the trainer")
for _ in range(plan.get("warnings", 0)):
    events.write(event("message", level="warning", text="A picture of " + 100 * "x"))
for step in range(first, plan.get("steps", 5)):
    if stopping:
        if plan.get("mute"):
            sys.exit(1)
        time.sleep(plan.get("saving", 0))
        if not plan.get("full"):
            events.write(event("checkpoint", step=step, path="checkpoints/last", best=False))
        events.write(event("ended", status="stopped", reason=None, summary={}))
        sys.exit(0)
    time.sleep(plan.get("pause", 0.01))
    events.write(event("step", step=step, total=1 / (step + 1)))
    fresh = run / "checkpoint.json.new"
    fresh.write_text(json.dumps({"step": step + 1}))
    fresh.rename(checkpoint)
if plan.get("status"):
    sys.exit(plan["status"])
events.write(event("ended", status="finished", reason=None, summary={"rank1": 1.0}))
'''


@contextmanager
def pretending(folder: Path) -> Iterator[Path]:
    """A folder of runs whose trainers pretend; whatever still runs at the end is killed."""
    (folder / "trainer.py").write_text(PRETENDING_TRAINER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HANDREID_TRAINER", str(folder / "trainer.py"))
        patch.setenv("HANDREID_LOCKS", str(folder / "locks"))
        patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        patch.delenv("HANDREID_FAKE_GPUS", raising=False)
        runs = folder / "runs"
        runs.mkdir()
        yield runs
        for _ in range(3):  # a supervisor, a shim and a trainer may each start or stop another
            for pid in processes_of(runs):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)


def make_run(runs: Path, device: str = "cpu", **plan: Any) -> Path:
    """A run directory whose trainer will pretend by `plan`: steps, pause, deaf, unprepared, mute (it ends without a
    word), warnings, status, and for its checkpoint: saving (the seconds it takes), full (the disk).
    """
    path = create(runs, resolve("ce", **{"device": device}))
    (path / "plan.json").write_text(json.dumps(plan))
    return path


def events(path: Path, kind: str) -> list[dict[str, Any]]:
    return [event for event in raw_events(path / run_files.EVENTS) if event["kind"] == kind]


def until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Wait until `condition()` is true, and return it."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
    return value


def processes_of(runs: Path) -> list[int]:
    """The living processes (zombies too) whose command line names `runs`, but for this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if str(runs).encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def supervisors_of(runs: Path) -> list[int]:
    return [pid for pid in processes_of(runs) if b"launch.supervisor" in _command(pid)]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
