"""The queue: the runs with a queued.json, in one order that everybody computes alike. It needs no database.

Higher priority first, then by place (the moment of joining, until the run is moved). Whoever changes queued.json owns
the run meanwhile: a shim that starts it and a user who moves or withdraws it cannot both succeed. A run that is queued
on Slurm has its queued.json too, but Slurm orders and starts those.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.contract import run_files
from engine.contract.errors import UserError
from handreid_tui.runs.claim import claim
from handreid_tui.runs.directory import list_runs, number
from handreid_tui.runs.ending import events_size, tell_ended
from handreid_tui.runs.safe_files import explain, in_threads, is_file, read_json, write_json

HERE, SLURM = "here", "slurm"


@dataclass(frozen=True)
class Waiting:
    """A run in the queue, and what it asks for.

    gpus: whole GPUs, or a fraction of one. parallel: how many runs may be on the CPU at once when this one starts.
    visible: CUDA_VISIBLE_DEVICES where it was launched, None where that was not set. on: who starts it, this machine's
    supervisor ("here") or "slurm".
    """

    path: Path
    priority: int = 0
    place: float = 0.0
    resume: bool = False
    gpus: float = 1.0
    parallel: int = 1
    visible: str | None = None
    on: str = HERE

    @property
    def order(self) -> tuple[int, float, int]:
        return -self.priority, self.place, number(self.path)

    @property
    def device(self) -> str:
        """What its configuration asks for: auto, cpu, cuda or cuda:N."""
        device = read_json(self.path / run_files.CONFIG).get("device")
        return device if isinstance(device, str) else "auto"

    def write(self) -> None:
        asked = {key: value for key, value in vars(self).items() if key != "path"}
        write_json(self.path / run_files.QUEUED, {"t": round(time.time(), 3)} | asked)


def waiting(runs: Path, on: str = HERE) -> list[Waiting]:
    """The runs of this machine's queue, the next one first; or those that wait on Slurm."""
    found = (read(path) for path in list_runs(runs) if is_file(path / run_files.QUEUED))
    return sorted((run for run in found if run.on == on), key=lambda run: run.order)


def read(path: Path) -> Waiting:
    """What queued.json asks for; what is missing or damaged in it reads as the default."""
    raw = read_json(path / run_files.QUEUED)
    visible = raw.get("visible")
    return Waiting(
        path,
        priority=int(_number(raw, "priority", 0, -(10**9), 10**9)),
        place=_number(raw, "place", _number(raw, "t", 0, 0, 1e11), -1e11, 1e11),
        resume=raw.get("resume") is True,
        gpus=_number(raw, "gpus", 1, 1 / 12, 1024),
        parallel=int(_number(raw, "parallel", 1, 1, 1024)),
        visible=visible if isinstance(visible, str) else None,
        on=SLURM if raw.get("on") == SLURM else HERE,
    )


def enqueue_all(
    paths: list[Path],
    *,
    priority: int = 0,
    resume: bool = False,
    gpus: float = 1.0,
    parallel: int = 1,
    on: str = HERE,
) -> None:
    """Put the runs at the end of the queue, in this order. Raises UserError where somebody runs or moves one now."""
    visible, now = os.environ.get("CUDA_VISIBLE_DEVICES"), time.time()

    def join(path: Path, place: float) -> None:
        with owned(path):
            Waiting(path, priority, place, resume, gpus, parallel, visible, on).write()

    in_threads(join, paths, [now + 1e-6 * place for place in range(len(paths))])


def withdraw(path: Path) -> bool:
    """Take the run out of the queue, as stopped; whether it was in it. Raises UserError where somebody runs it."""
    with owned(path):
        if not is_file(path / run_files.QUEUED):
            return False
        tell_ended(path, "stopped", "Removed from the queue.", events_size(path))
        (path / run_files.QUEUED).unlink()
        return True


def set_priority(path: Path, priority: int) -> None:
    """Let the run wait among those of this priority, higher first. Raises UserError where it waits no more."""
    with owned(path):
        replace(_still_waiting(path), priority=priority).write()


def move(path: Path, *, up: bool) -> None:
    """Let the run pass the one before it, or the one behind it. Raises UserError where it waits no more."""
    order = waiting(path.parent)
    if up:
        order.reverse()
    behind = [run.order for run in order]
    with owned(path):
        run = _still_waiting(path)
        if run.order not in behind or run.order == behind[-1]:
            return
        at = behind.index(run.order)
        passed = order[at + 1]
        following = order[at + 2] if at + 2 < len(order) else None
        if following and following.priority == passed.priority:
            place = (passed.place + following.place) / 2
        else:
            place = passed.place + (-1.0 if up else 1.0)
        replace(run, priority=passed.priority, place=place).write()


@contextmanager
def owned(path: Path) -> Iterator[None]:
    """Own the run for a moment. Raises UserError where somebody else does, or where it cannot be written."""
    try:
        lock = claim(path)
    except OSError as error:
        raise UserError(f"{path} cannot be changed: {explain(error)}") from None
    if lock is None:
        raise UserError(f"Run {path.name} is running: stop it first.")
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be changed: {explain(error)}") from None
    finally:
        os.close(lock)


def _still_waiting(path: Path) -> Waiting:
    if not is_file(path / run_files.QUEUED):
        raise UserError(f"Run {path.name} is not queued.")
    run = read(path)
    if run.on == SLURM:
        raise UserError(f"Run {path.name} is queued on Slurm, which has its own order: see `scontrol top`.")
    return run


def _number(raw: dict[str, Any], key: str, default: float, least: float, most: float) -> float:
    value = raw.get(key, default)
    if not isinstance(value, int | float) or not math.isfinite(value):
        return default
    return min(max(value, least), most)
