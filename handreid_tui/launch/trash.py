"""The trash: where deleted run directories stay until they are restored or purged, and the plans of deleted sweeps."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from engine.contract import run_files
from engine.contract.errors import UserError
from handreid_tui.launch import lifecycle, queue
from handreid_tui.runs import directory
from handreid_tui.runs.safe_files import explain

RETENTION = 30 * 86400.0  # seconds that a run stays in the trash


def trash(paths: Iterable[Path]) -> list[Path]:
    """Move run directories, none of which is running, to the trash; where each is now.

    Queued runs leave the queue. Runs that were in the trash for longer than RETENTION are deleted.
    Raises UserError where a run is running, or its folder cannot be written.
    """
    runs = lifecycle.let_go(paths)
    moved, now = [], time.time()
    for path in runs:
        with queue.owned(path):
            (path / run_files.QUEUED).unlink(missing_ok=True)
            place = path.parent / run_files.TRASH / path.name
            try:
                place.parent.mkdir(exist_ok=True)
                path.rename(place)
                os.utime(place, (now, now))
            except OSError as error:
                raise UserError(f"{path} cannot be moved to the trash: {explain(error)}") from None
        moved.append(place)
    for folder in {path.parent for path in runs}:
        purge([old for old in trashed(folder) if now - old.stat().st_mtime > RETENTION])
    return moved


def trashed(runs: Path) -> list[Path]:
    """The run directories in the trash of the folder `runs`, by number."""
    return directory.list_runs(runs / run_files.TRASH)


def last_trashed(runs: Path) -> list[Path]:
    """Those that were moved to the trash together, the last time."""
    found = {path: path.stat().st_mtime for path in trashed(runs)}
    return [path for path, moved in found.items() if moved == max(found.values())]


def restore(places: Sequence[Path]) -> list[Path]:
    """Move run directories from the trash back; where each is now. Raises UserError where one is gone.

    A sweep in the trash returns with the first of its runs.
    """
    restored = []
    for place in places:
        path = place.parent.parent / place.name
        try:
            place.rename(path)
        except OSError as error:
            raise UserError(f"{place.name} cannot be restored: {explain(error)}") from None
        restored.append(path)
        plan = _plan_in_trash(path.parent, directory.sweep(path))
        if plan.is_file():
            plan.rename(plan.parent.parent / plan.name)
    return restored


def trash_plan(plan: Path) -> None:
    """Move the plan of a sweep to the trash, whose runs are there."""
    place = plan.parent / run_files.TRASH / plan.name
    place.parent.mkdir(exist_ok=True)
    plan.rename(place)


def purge(places: Iterable[Path]) -> int:
    """Delete run directories of the trash for good, and sweeps without any left; the bytes freed."""
    freed = 0
    folders = set()
    for place in places:
        freed += lifecycle.size(place)
        shutil.rmtree(place, ignore_errors=True)
        folders.add(place.parent.parent)
    for runs in folders:
        left = {_plan_in_trash(runs, directory.sweep(path)) for path in trashed(runs)}
        for plan in set((runs / run_files.SWEEPS / run_files.TRASH).glob("*.json")) - left:
            plan.unlink(missing_ok=True)
            for leftover in plan.parent.parent.glob(f"{plan.stem}.*"):
                leftover.unlink(missing_ok=True)
    return freed


def _plan_in_trash(runs: Path, sweep: int) -> Path:
    return runs / run_files.SWEEPS / run_files.TRASH / f"{sweep:04d}.json"
