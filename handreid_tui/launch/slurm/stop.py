"""Stops runs that are Slurm's: one that waits leaves the queue and is cancelled, the shim of one that runs is told."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from engine.contract import run_files
from engine.contract.errors import UserError
from handreid_tui.launch import queue
from handreid_tui.launch.slurm import ledger
from handreid_tui.launch.slurm.client import cancel, send
from handreid_tui.runs.attempt import Attempt, heard_at, mark_asked, note_task, take_back_asked, was_asked_to_stop
from handreid_tui.runs.safe_files import explain, in_threads, is_file
from handreid_tui.runs.state import observe

Stopped = Literal["withdrawn", "stopping", "killed"]


def of_slurm(paths: list[Path]) -> list[Path]:
    """Those of the runs that wait on Slurm or go on there."""
    return [path for path in paths if _waits(path) or (Attempt.read(path).slurm and not observe(path).final)]


def stop(paths: list[Path], *, kill: bool) -> dict[Path, Stopped]:
    """Stop all these runs, which are Slurm's. Raises UserError in Slurm's words where one that runs was not told."""
    done = _withdraw(paths)
    signalled: dict[str, dict[Path, str]] = {"TERM": {}, "USR2": {}}
    for path in paths:
        if path not in done:
            attempt = Attempt.read(path)
            at_once = kill or was_asked_to_stop(path)  # `stopping` may be Slurm's wish
            done[path] = "killed" if at_once else "stopping"
            signalled["USR2" if at_once else "TERM"][path] = attempt.slurm
            with suppress(OSError):
                mark_asked(path)
    problems = [problem for signal, ids in signalled.items() if (problem := _send(ids, signal))]
    # those that were about to wait again
    done |= _withdraw([path for ids in signalled.values() for path in ids if _waits(path)])
    if problems:
        raise problems[0]
    return done


def _withdraw(paths: list[Path]) -> dict[Path, Stopped]:
    done: dict[Path, Stopped] = {}
    for runs in dict.fromkeys(path.parent for path in paths):
        with ledger.locked(runs):  # so no submission is half done, and no look queues them again
            done |= _withdraw_all(runs, [path for path in paths if path.parent == runs])
    return done


def _withdraw_all(runs: Path, paths: list[Path]) -> dict[Path, Stopped]:
    """Take those that wait out of the queue, and cancel their tasks."""
    known = ledger.open_tasks(runs)
    done: dict[Path, Stopped] = {}

    def withdraw(path: Path) -> None:
        with suppress(UserError):  # its shim was faster
            if _waits(path) and queue.withdraw(path):
                done[path] = "withdrawn"
                if path.name in known:
                    note_task(path, known[path.name].id)

    try:
        in_threads(withdraw, paths)
        with suppress(UserError):  # a task whose run does not wait ends as soon as it starts; `look` tries again
            cancel([known[path.name].id for path in paths if path in done and path.name in known])
            ledger.close(runs, [path.name for path in done])
    except OSError as error:
        raise UserError(f"{runs} cannot be changed: {explain(error)}") from None
    return done


def _send(ids: Mapping[Path, str], signal: str) -> UserError | None:
    """Signal the tasks; what went wrong, if a run did not hear of it. scancel may fail for one and tell the others."""
    before = {path: heard_at(path) for path in ids}
    try:
        send(list(ids.values()), signal)
    except UserError as error:
        end = time.monotonic() + 2.0
        deaf = list(ids)
        while deaf and time.monotonic() < end:
            time.sleep(0.1)
            deaf = [path for path in deaf if not _heard(path, before[path])]
        for path in deaf:
            with suppress(OSError):
                take_back_asked(path)
        return error if deaf else None
    return None


def _heard(path: Path, before: Any) -> bool:
    """Whether the run heard of a stop since `before`, has ended, or waits again and can be withdrawn."""
    return heard_at(path) != before or _waits(path) or observe(path).final


def _waits(path: Path) -> bool:
    return is_file(path / run_files.QUEUED) and queue.read(path).on == queue.SLURM
