"""The tasks of Slurm that are not over, as far as is known: RUNS/.slurm/JOB.json, one file for each array.

JOB.json      t, and runs: the index in the array of each run that is not over, by its name
squeue.json   what Slurm said last, see `look`
JOB.out       what tasks said before they became the shim of their run
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from handreid_tui.files import read_json, write_json


@dataclass(frozen=True)
class Task:
    """One element of an array of jobs; `since`: when it was submitted, in Unix seconds."""

    job: int
    index: int
    since: float

    @property
    def id(self) -> str:
        """As Slurm's commands name it."""
        return f"{self.job}_{self.index}"


def folder(runs: Path) -> Path:
    return runs / ".slurm"


def note_submitted(runs: Path, job: int, names: list[str]) -> None:
    """Note the array `job`, whose task N is the run `names[N]`."""
    indices = {name: index for index, name in enumerate(names)}
    write_json(folder(runs) / f"{job}.json", {"t": round(time.time(), 3), "runs": indices})


def has_open_tasks(runs: Path) -> bool:
    return bool(_files(runs))


def open_tasks(runs: Path) -> dict[str, Task]:
    """The tasks that are not over by the name of their run; of several for one run, the newest."""
    found: dict[str, Task] = {}
    for path in _files(runs):
        since, indices = _read(path)
        for name, index in indices.items():
            if name not in found or found[name].since < since:
                found[name] = Task(int(path.stem), index, since)
    return found


def close(runs: Path, tasks: Iterable[Task]) -> None:
    """Forget tasks that are over, and those that were replaced by a newer one of their run."""
    over = {(task.job, task.index) for task in tasks}
    newest = open_tasks(runs)
    for path in _files(runs):
        job, (since, before) = int(path.stem), _read(path)
        after = {name: index for name, index in before.items() if (job, index) not in over and newest[name].job == job}
        if not after:
            with suppress(FileNotFoundError):
                path.unlink()
        elif after != before:
            write_json(path, {"t": since, "runs": after})


def _read(path: Path) -> tuple[float, dict[str, int]]:
    raw = read_json(path)
    since, indices = raw.get("t"), raw.get("runs")
    indices = indices if isinstance(indices, dict) else {}
    named = {name: index for name, index in indices.items() if isinstance(index, int) and "/" not in name}
    return float(since) if isinstance(since, int | float) else 0.0, named


def _files(runs: Path) -> list[Path]:
    try:
        names = os.listdir(folder(runs))  # noqa: PTH208  a folder that is looked at five times a second
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(folder(runs) / name for name in names if name[:-5].isdecimal() and name.endswith(".json"))
