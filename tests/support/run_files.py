"""Run directories as trainers and shims leave them, for the tests of the manager."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

from engine.contract import run_files
from engine.contract.config import resolve
from engine.contract.events import EventWriter
from handreid_tui.runs import directory
from tests.support.events import event


def make_run(runs: Path, combo: str = "ce_triplet", seed: int = 0, **meta: Any) -> Path:
    return directory.create(runs, resolve(combo, seed), **meta)


def wait_in_queue(run: Path) -> None:
    (run / run_files.QUEUED).write_text(json.dumps({"t": time.time(), "priority": 0, "resume": False, "on": "here"}))


class Trainer:
    """Writes the events of a run as the trainer does, as far as a test wants."""

    def __init__(self, run: Path) -> None:
        self.run, self.events = run, EventWriter(run / run_files.EVENTS)

    def start(self, resumed_from: int | None = None, **fields: Any) -> Trainer:
        told = {"dataset": "synthetic", "subset": "dorsal-right", "gallery": "all", "fingerprint": "f" * 16}
        told |= {"model": "handreid-tiny", "pretrained": "none", "device": "cpu", "host": "here"}
        self.events.write(event("started", **told | {"epochs": 2, "steps": 20, "resumed_from": resumed_from} | fields))
        return self

    def steps(self, first: int, end: int, shift: float = 0.0) -> Trainer:
        for step in range(first, end):
            loss = 2 + math.cos(step / 7) + shift
            self.events.write(
                event(
                    "step",
                    step=step,
                    epoch=step // 10 + 1,
                    total=loss,
                    terms={"ce": loss - 0.5, "triplet": 0.5},
                    lr=1e-3,
                    images_per_s=500.0,
                )
            )
        return self

    def evaluate(self, stage: str, step: int, rank1: float, mAP: float) -> Trainer:
        self.events.write(
            event("evaluation", stage=stage, step=step, epoch=step // 10, trials=10, rank1=rank1, mAP=mAP)
        )
        return self

    def end(self, status: str = "finished", reason: Any = None, summary: Any = None) -> Trainer:
        self.events.write(event("ended", status=status, reason=reason, summary=summary))
        return self


def finish(run: Path, steps: int = 20) -> Path:
    """The events of a whole training of `steps` steps, 10 an epoch."""
    trainer = Trainer(run).start()
    trainer.evaluate("pixels", 0, 0.3, 0.2).evaluate("before", 0, 0.4, 0.3)
    for epoch in range(1, steps // 10 + 1):
        trainer.steps(10 * epoch - 10, 10 * epoch).evaluate(
            "validation", 10 * epoch, 0.5 + epoch / 10, 0.9 - epoch / 10
        )
        trainer.events.write(
            event("epoch", step=10 * epoch, epoch=epoch, seconds=1.5, total=2.0, geometry={"intra": 0.4, "ratio": 0.5})
        )
    trainer.events.write(event("system", step=steps - 1, cpu=0.5, gpu_util=0.9))
    trainer.events.write(event("message", level="warning", text="one image was left out"))
    trainer.evaluate("final", steps, 0.95, 0.85)
    trainer.end(summary={"best_epoch": 1, "geometry": {"intra": 0.3, "angle": 20.0}})
    return run


def append(run: Path, *lines: bytes | dict[str, Any]) -> None:
    """Bytes as they are, and objects as lines, at the end of the run's events."""
    with (run / run_files.EVENTS).open("ab") as file:
        for line in lines:
            file.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
