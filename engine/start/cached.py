"""The trained start in the cache: made once, by one process, whole or not at all."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import IO

from engine.contract.errors import UserError
from engine.contract.models import SYNTHETIC
from engine.contract.start import StartRecipe, start_folder, start_key, start_name, start_recipe
from engine.machine.device import Device
from engine.start.hands import draw_hands
from engine.start.pretraining import pretrain
from engine.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

DRAWING = "Generating synthetic hands for the initial weights, once"
TRAINING = "Training the initial weights on synthetic hands, once"
WAITING = "Another run is training the initial weights on synthetic hands: waiting for it."
TELL_EVERY = 10.0  # seconds
LOOK_EVERY = 0.5  # seconds between looks at the lock

Tell = Callable[[str], None]


class Stopped(Exception):
    """The user asked to stop while the start was being trained; nothing of it is kept."""


def ensure_start(pretrained: str, cache: Path, device: Device, tell: Tell, stopped: Callable[[], bool]) -> Path:
    """The folder of the start that `pretrained` (`synthetic` or `synthetic:KEY`) names, trained the first time.

    Several processes may ask at once: one trains, the others wait. Raises UserError where the key belongs to another
    recipe or version and is not in the cache, or the cache cannot be written; Stopped.
    """
    recipe = start_recipe()
    key = pretrained.partition(":")[2] or start_key(recipe)
    folder = start_folder(cache, key)
    if load_checkpoint(folder):
        return folder
    if key != start_key(recipe):
        raise UserError(
            f"The weights {SYNTHETIC}:{key} are not in {folder.parent}, and this version trains {start_name(recipe)}: "
            f"use {SYNTHETIC}.",
            "model.pretrained",
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f"{key}.lock").open("w") as lock:
            _wait_for(lock, tell, stopped)
            if not load_checkpoint(folder):
                _make(folder, recipe, device, tell, stopped)
    except OSError as error:
        raise UserError(
            f"The initial weights cannot be stored in {folder.parent} ({error.strerror or error}). "
            "Set another folder with HANDREID_CACHE."
        ) from error
    return folder


def _wait_for(lock: IO[str], tell: Tell, stopped: Callable[[], bool]) -> None:
    reported = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not reported:
                tell(WAITING)
            reported = True
        if stopped():
            raise Stopped
        time.sleep(LOOK_EVERY)


def _make(folder: Path, recipe: StartRecipe, device: Device, tell: Tell, stopped: Callable[[], bool]) -> None:
    """Draw, train and store; under the lock, so what a killed process left behind is removed first."""
    drawn = folder.with_name(f"{folder.name}.hands")
    shutil.rmtree(drawn, ignore_errors=True)
    drawn.mkdir()
    try:
        images = draw_hands(drawn / "hands.npy", recipe, _Heard(DRAWING, tell, stopped))
        weights, record = pretrain(images, recipe, device, _Heard(TRAINING, tell, stopped))
        record = record | {"start": {"key": folder.name, "recipe": asdict(recipe)}}
        save_checkpoint(folder, Checkpoint(weights, {"step": sum(recipe.steps), "model": record}))
    finally:
        shutil.rmtree(drawn, ignore_errors=True)


class _Heard:
    """Reports the share that is done from time to time, and stops the work on request."""

    def __init__(self, what: str, tell: Tell, stopped: Callable[[], bool]) -> None:
        self.what, self.tell, self.stopped, self.reported_at = what, tell, stopped, 0.0

    def __call__(self, share: float) -> None:
        if self.stopped():
            raise Stopped
        if time.monotonic() - self.reported_at > TELL_EVERY:
            self.reported_at = time.monotonic()
            self.tell(f"{self.what}: {share:.0%}")
