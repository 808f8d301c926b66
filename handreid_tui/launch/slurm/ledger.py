"""The tasks of Slurm that are not over, as far as is known: one file for each array (run_files.SLURM_FOLDER)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract import run_files
from engine.contract.errors import UserError
from handreid_tui.launch import file_locks
from handreid_tui.runs.directory import number
from handreid_tui.runs.safe_files import explain, is_file, read_json, write_json

LARGEST = 64 << 20  # bytes of a JSON file here: some have a line for each of very many runs


@dataclass(frozen=True)
class SlurmTask:
    """One element of an array of jobs; `since`: when it was submitted, in Unix seconds, by `user` to `cluster`."""

    job: int
    index: int
    since: float
    cluster: str
    user: int

    @property
    def id(self) -> str:
        """As Slurm's commands name it."""
        return f"{self.job}_{self.index}"


def folder(runs: Path) -> Path:
    return runs / run_files.SLURM


@contextmanager
def locked(runs: Path, seconds: float = 30.0) -> Iterator[None]:
    """Nobody else submits, stops or looks meanwhile. Raises UserError after waiting that long."""
    end = time.monotonic() + seconds
    try:
        folder(runs).mkdir(parents=True, exist_ok=True)
        while (lock := file_locks.take(folder(runs) / run_files.SLURM_LOCK)) is None:
            if time.monotonic() > end:
                raise UserError(
                    f"Another handreid process has been using Slurm for {runs} for {seconds:.0f} s: try again later."
                )
            time.sleep(0.05)
    except OSError as error:
        raise UserError(f"{folder(runs)} cannot be used: {explain(error)}") from None
    try:
        yield
    finally:
        os.close(lock)


def note_submitted(runs: Path, job: int, names: list[str], cluster: str) -> None:
    """Note the array `job`, whose task N is the run `names[N]`. Raises OSError."""
    about = {"t": round(time.time(), 3), "cluster": cluster, "user": os.getuid()}
    about |= {"runs": {name: index for index, name in enumerate(names)}}
    write_json(folder(runs) / f"{job}{run_files.SLURM_JOB}", about)


def has_open_tasks(runs: Path) -> bool:
    return bool(_files(runs))


def open_tasks(runs: Path) -> dict[str, SlurmTask]:
    """The tasks that are not over by the name of their run; of several for one run, the newest."""
    found: dict[str, SlurmTask] = {}
    for path in _files(runs):
        raw = read_json(path, LARGEST)
        since, user, cluster = raw.get("t"), raw.get("user"), raw.get("cluster")
        if not isinstance(since, float | int) or not 0 <= since < 1e11 or not isinstance(user, int):
            continue  # damaged
        for name, index in _indices(raw).items():
            if name not in found or found[name].since < since:
                found[name] = SlurmTask(int(path.stem), index, float(since), str(cluster), user)
    return found


def close(runs: Path, names: Iterable[str]) -> None:
    """Forget the tasks of these runs: they are over, or new ones come. For the holder of the lock. Raises OSError."""
    over = set(names)
    for path in _files(runs):
        raw = read_json(path, LARGEST)
        before = _indices(raw)
        after = {name: index for name, index in before.items() if name not in over}
        if after and after != before:
            write_json(path, raw | {"runs": after})
        elif not after:
            with suppress(OSError):
                path.unlink()
                output = path.with_suffix(run_files.SLURM_OUTPUT)
                if is_file(output) and not output.stat().st_size:
                    output.unlink()


def _indices(raw: dict[str, Any]) -> dict[str, int]:
    indices = raw.get("runs")
    indices = indices if isinstance(indices, dict) else {}
    return {name: index for name, index in indices.items() if isinstance(index, int) and _is_run(name)}


def _is_run(name: str) -> bool:
    """Whether this is the name of a run directory, which leads nowhere else."""
    with suppress(UserError):
        return number(Path(name)) > 0 and "/" not in name
    return False


def _files(runs: Path) -> list[Path]:
    try:
        names = os.listdir(folder(runs))  # noqa: PTH208  a folder that is looked at five times a second
    except OSError:
        return []
    return sorted(folder(runs) / name for name in names if name[:-5].isdecimal() and name.endswith(run_files.SLURM_JOB))
