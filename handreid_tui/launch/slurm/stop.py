"""Stops runs that are Slurm's: one that waits leaves the queue and is cancelled, the shim of one that runs is told."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from engine.errors import UserError
from handreid_tui.files import is_file
from handreid_tui.launch import locks, queue
from handreid_tui.launch.processes import Attempt, mark_asked, note_task
from handreid_tui.launch.slurm import tasks
from handreid_tui.launch.slurm.commands import cancel, send
from handreid_tui.launch.slurm.tasks import Task
from handreid_tui.state import observe

Stopped = Literal["withdrawn", "stopping", "killed"]


def tasks_of(paths: list[Path]) -> dict[Path, Task]:
    """Those of the runs that are Slurm's and have not ended, with their tasks."""
    of_folder = {runs: tasks.open_tasks(runs) for runs in {path.parent for path in paths}}
    found = {path: of_folder[path.parent].get(path.name) for path in paths}
    return {path: task for path, task in found.items() if task and not observe(path).final}


def stop(of_run: Mapping[Path, Task], *, kill: bool) -> dict[Path, Stopped]:
    """Stop all these runs. Raises UserError in Slurm's words where it cannot tell those that run."""
    done: dict[Path, Stopped] = {}
    for runs in {path.parent for path in of_run}:
        with locks.hold(tasks.folder(runs) / ".lock"):  # or a look at squeue in between would queue them again
            for path in of_run:
                if path.parent == runs and _withdraw(path, of_run[path]):
                    done[path] = "withdrawn"
            tasks.close(runs, [of_run[path] for path in done if path.parent == runs])
    with suppress(UserError):  # a task whose run does not wait any more ends as soon as it starts
        cancel([of_run[path].id for path in done])
    told: dict[str, list[Path]] = {"TERM": [], "USR2": []}
    for path in of_run.keys() - done.keys():
        at_once = kill or Attempt.read(path).stopping
        done[path] = "killed" if at_once else "stopping"
        told["USR2" if at_once else "TERM"].append(path)
        with suppress(OSError):
            mark_asked(path)
    for signal, paths in told.items():
        try:
            send([of_run[path].id for path in paths], signal)
        except UserError:
            if not all(Attempt.read(path).stopping or observe(path).final for path in paths):
                raise  # else scancel tried twice, and the first signal was enough
    return done


def _withdraw(path: Path, task: Task) -> bool:
    if not is_file(path / "queued.json"):
        return False
    try:
        withdrawn = queue.withdraw(path)
    except UserError:
        return False  # its shim was faster
    if withdrawn:
        with suppress(OSError):
            note_task(path, task.id)
            mark_asked(path)
    return withdrawn
