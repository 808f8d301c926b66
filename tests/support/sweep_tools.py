"""Sweeps whose trainers only pretend: they reach what their settings say, at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from handreid_tui.sweeps.actions import SweepRequest, prepare
from handreid_tui.sweeps.plan_file import SweepPlan
from handreid_tui.sweeps.space import read_over
from tests.support.launch_tools import pretending

# Validation mAP is best at lr 1e-3, a little different on each fold and for each combination.
TRAINER = """
import hashlib, json, math, os, signal, sys, time
from pathlib import Path
from engine.contract.events import EventWriter, parse

def event(kind, **fields):
    return parse(json.dumps({"kind": kind, **fields}))

run = Path(sys.argv[1])
config = json.loads((run / "config.json").read_text())
stopping = False

def stop(*_):
    global stopping
    stopping = True

signal.signal(signal.SIGTERM, stop)
events = EventWriter(run / "events.jsonl")
test = config["evaluation"]["test"]
events.write(event("started", pid=os.getpid(), resumed_from=None, test_identities=6 if test else 0))
lr = config["train"]["lr"]
noise = int(hashlib.sha256(f"{config['combo']}{config['data']['fold']}{lr}".encode()).hexdigest()[:8], 16) / 2**32
value = 0.9 - 0.1 * math.log10(lr / 1e-3) ** 2 + 0.01 * noise
for epoch in range(int(os.environ.get("PRETEND_EPOCHS", "2"))):
    time.sleep(float(os.environ.get("PRETEND_PAUSE", "0.01")))
    if stopping:
        events.write(event("ended", status="stopped", reason=None, summary=None))
        sys.exit(0)
    events.write(event("step", step=epoch, epoch=epoch, total=1.0))
    reached = {"stage": "validation", "split": "val", "mAP": value * (epoch + 1) / 2}
    events.write(event("evaluation", step=epoch + 1, epoch=epoch + 1, **reached))
    events.write(event("epoch", step=epoch + 1, epoch=epoch + 1))
if config["combo"] in os.environ.get("PRETEND_FAILURE", "").split():
    kind = os.environ.get("PRETEND_KIND", "error")
    reason = {"kind": kind, "message": f"It cannot do that ({kind})."}
    events.write(event("ended", status="failed", reason=reason, summary=None))
    sys.exit(1)
summary = {"validation_mAP": value, "best_epoch": 2, "seconds": 1.0}
if test:
    summary |= {"mAP": value, "rank1": value}
events.write(event("ended", status="finished", reason=None, summary=summary))
"""


@contextmanager
def pretending_sweeps(folder: Path) -> Iterator[Path]:
    """A folder of runs for sweeps with pretending trainers; whatever still runs at the end is killed."""
    with pretending(folder) as runs:
        (folder / "trainer.py").write_text(TRAINER)
        yield runs


def asked(hands: Path, *combos: str, **changes: Any) -> SweepRequest:
    """A small search over the learning rate on the small folder of hands."""
    settings: dict[str, Any] = {"data.source": str(hands), "model.name": "handreid-tiny", "device": "cpu"}
    settings |= {"data.trials": 2, "train.ids_per_batch": 5}
    over = read_over(changes.pop("over", ["train.lr=1e-5..1e-1:log"]))
    usual: dict[str, Any] = {"trials": 4, "shortlist": 2, "confirm": 2, "launch": {"gpus": 1.0, "parallel": 4}}
    return SweepRequest(list(combos), settings, {}, over, **usual | changes)


def planned(hands: Path, runs: Path, *combos: str, **changes: Any) -> SweepPlan:
    return prepare(asked(hands, *combos, **changes), runs, lambda text: None)[0]


@pytest.fixture
def sweep_runs(tmp_path: Path) -> Iterator[Path]:
    with pretending_sweeps(tmp_path) as runs:
        yield runs
