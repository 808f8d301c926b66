"""Checkpoints that a kill at any moment cannot damage, and that nobody can hide code in.

A checkpoint is a folder: `model.safetensors` (the encoder under open_clip's names, necks, and what the loss learns),
`optimizer.pt` (read with weights_only), `state.json` (step and what else the loop knows), in one to resume from
`best.safetensors` (the best model until then), and `manifest.json` (a hash of each). It is written beside its place,
synced, and renamed; the one before stays as `previous` until the next is good.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from engine.contract import run_files

FILES = (run_files.MODEL, run_files.OPTIMIZER, run_files.PROGRESS)
BEST = run_files.BEST_MODEL


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after `state["step"]` steps; `best`: the weights of its best model, where they are kept."""

    weights: dict[str, Tensor]
    state: dict[str, Any]
    optimizers: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)


def save_checkpoint(place: Path, checkpoint: Checkpoint, keep_previous: bool = False, best: Path | None = None) -> None:
    """Write `checkpoint` as the folder `place`, all or nothing: on a full disk OSError, `place` as it was.

    `best`: the checkpoint whose model is kept in this one too, so that a kill cannot part what belongs together.
    """
    weights = {name: value.detach().cpu().contiguous() for name, value in checkpoint.weights.items()}
    unfinished = place.with_name(place.name + run_files.UNFINISHED)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        save_file(weights, unfinished / run_files.MODEL)
        with (unfinished / run_files.OPTIMIZER).open("wb") as opened:  # torch's own files hide why a write failed
            torch.save(checkpoint.optimizers, opened)
        (unfinished / run_files.PROGRESS).write_text(json.dumps(checkpoint.state))
        if best:
            _link(best / run_files.MODEL, unfinished / BEST)
        hashes = {file.name: _hash(file) for file in sorted(unfinished.iterdir())}
        (unfinished / run_files.MANIFEST).write_text(json.dumps(hashes))
        for file in [*unfinished.iterdir(), unfinished]:
            _sync(file)
    except Exception as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if cause := _failed_write(error):
            raise cause from error
        raise
    previous = place.with_name(run_files.PREVIOUS if keep_previous else place.name + run_files.REPLACED)
    shutil.rmtree(previous, ignore_errors=True)
    if place.exists():
        place.rename(previous)
    unfinished.rename(place)
    _sync(place.parent)
    if not keep_previous:
        shutil.rmtree(previous, ignore_errors=True)


def load_checkpoint(place: Path) -> Checkpoint | None:
    """The checkpoint in the folder `place`; None where there is none or it is damaged in any way."""
    try:
        manifest = json.loads((place / run_files.MANIFEST).read_text())
        if any(manifest[name] != _hash(place / name) for name in {*FILES, *(manifest.keys() & {BEST})}):
            return None
        state = json.loads((place / run_files.PROGRESS).read_text())
        optimizers = torch.load(place / run_files.OPTIMIZER, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not isinstance(optimizers, list):
            return None
        # Read, not mapped: NFS keeps a file that is mapped in its folder, which could then not be replaced.
        weights = load((place / run_files.MODEL).read_bytes())
        best = load((place / BEST).read_bytes()) if BEST in manifest else {}
        return Checkpoint(weights, state, optimizers, best)
    except Exception:  # torch's reader meets damage with nearly every kind of error
        return None


def load_newest(checkpoints: Path) -> Checkpoint | None:
    """The last good checkpoint of a run: `last`, or `previous` where `last` is damaged or was being replaced."""
    found = (load_checkpoint(checkpoints / name) for name in (run_files.LAST, run_files.PREVIOUS))
    return next((checkpoint for checkpoint in found if checkpoint), None)


def _failed_write(error: Exception) -> OSError | None:
    """The error of the operating system behind one of torch or safetensors; None where it has another cause.

    torch keeps it as the context of its own; safetensors names its number.
    """
    seen: BaseException | None = error
    while seen:
        if isinstance(seen, OSError):
            return OSError(seen.errno, os.strerror(seen.errno)) if seen.errno else seen
        seen = seen.__cause__ or seen.__context__
    number = re.search(r"\(os error (\d+)\)", str(error)) if isinstance(error, SafetensorError) else None
    return OSError(int(number[1]), os.strerror(int(number[1]))) if number else None


def _link(file: Path, place: Path) -> None:
    """`place` as another name of `file`, or as a copy where the file system has no hard links."""
    try:
        place.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, place)


def _hash(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "blake2b").hexdigest()[:32]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
