"""Training in this process, for tests that look inside."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from engine.contract import run_files
from engine.contract.config import RunConfig, resolve
from engine.contract.events import EventWriter
from engine.training.loop import train
from engine.training.stopping import StopRequest
from tests.support.events import raw_events

SMALL: dict[str, Any] = {
    "model.name": "handreid-tiny",
    "model.pretrained": "none",
    "train.epochs": 2,
    "train.ids_per_batch": 5,
    "train.images_per_id": 3,
    "train.lr": 1e-3,
    "train.head_lr": 1e-3,
    "train.optimizer": "adamw",
    "train.warmup_epochs": 0,
    "prompts.epochs": 2,
    "data.trials": 2,
    "evaluation.every": 1,
    "device": "cpu",
    "threads": 1,
}


class StopAtStep(StopRequest):
    """Asks to stop after the n-th look of the loop, that is after n steps."""

    def __init__(self, step: int) -> None:
        self._looks = itertools.count(1)
        self._step = step

    @property
    def requested(self) -> bool:  # type: ignore[override]
        return next(self._looks) >= self._step


def small_config(combo: str, hands: Path, seed: int = 0, **settings: Any) -> RunConfig:
    """A run of a few steps on the small folder of hands; `a__b=1` sets `a.b`."""
    dotted = {key.replace("__", "."): value for key, value in settings.items()}
    return resolve(combo, seed, **SMALL | {"data.source": str(hands)} | dotted)


def train_in(run: Path, config: RunConfig, stop: StopRequest | None = None) -> str:
    """Train in the folder `run`, made where it is not there, with a config.json; returns how it ended."""
    run.mkdir(parents=True, exist_ok=True)
    config.save(run / run_files.CONFIG)
    events = EventWriter(run / run_files.EVENTS)
    try:
        return train(run, config, events, stop or StopRequest())
    finally:
        events.close()


def events_of(run: Path, kind: str) -> list[dict[str, Any]]:
    return [event for event in raw_events(run / run_files.EVENTS) if event["kind"] == kind]
