"""Run directories: making them, and finding them.

The directory is the truth; the run history is an index over it. The standard library alone: the shim imports this too.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.contract import run_files
from engine.contract.errors import UserError
from handreid_tui.runs.meta import Meta, clean_tags, locked
from handreid_tui.runs.safe_files import (
    explain,
    in_threads,
    plain,
    read_bytes,
    read_json,
    replace_file,
    write_json,
)

if TYPE_CHECKING:
    from engine.contract.config import RunConfig

_FOLDER = re.compile(r"([0-9]{4,9})-([A-Za-z0-9_.+-]+)")


def create(runs: Path, config: RunConfig, *, tags: Iterable[str] = (), note: str = "") -> Path:
    """Make the next run directory with its config.json and meta.json, whole or not at all. Numbers are never reused.

    Raises UserError where `runs` cannot be written.
    """
    return create_all(runs, [config], tags=tags, note=note)[0]


def create_all(
    runs: Path,
    configs: list[RunConfig],
    *,
    tags: Iterable[str] = (),
    note: str = "",
    sweeps: list[dict[str, Any]] | None = None,
) -> list[Path]:
    """Make a run directory for each configuration, in this order, all or none. As `create` otherwise.

    sweeps: what the sweep.json of each holds, where they are runs of a sweep.
    """
    meta = Meta(tags=clean_tags(tags), note=plain(note, 10_000), created=round(time.time(), 3))
    fresh = [runs / f"{run_files.NEW_PREFIX}{secrets.token_hex(8)}" for _ in configs]

    def fill(folder: Path, config: RunConfig, sweep: dict[str, Any] | None) -> None:
        folder.mkdir()
        if sweep is not None:
            write_json(folder / run_files.SWEEP, sweep)
        write_json(folder / run_files.CONFIG, config.model_dump())
        meta.write(folder)

    try:
        runs.mkdir(parents=True, exist_ok=True)
        with locked(runs):
            first = _next_number(runs, len(configs))
            in_threads(fill, fresh, configs, sweeps or (None for _ in configs))
            paths = [runs / f"{first + place:04d}-{_folder_name(config)}" for place, config in enumerate(configs)]
            for folder, path in zip(fresh, paths, strict=True):
                folder.rename(path)
    except OSError as error:
        for folder in fresh:
            shutil.rmtree(folder, ignore_errors=True)
        raise UserError(f"No run can be made in {runs}: {explain(error)}") from None
    return paths


def _folder_name(config: RunConfig) -> str:
    return re.sub(r"[^A-Za-z0-9_.+]+", "-", config.combo).strip("-.")[:80] or "run"


def number(path: Path) -> int:
    """The number of the run in this directory. Raises UserError where the name is not that of a run directory."""
    if found := _FOLDER.fullmatch(path.name):
        return int(found[1])
    raise UserError(f"{path} is not a run directory: its name does not begin with a number, like 0012-ce.")


def sweep(path: Path) -> int:
    """The number of the sweep that the run in this directory belongs to; 0 for none."""
    found = read_json(path / run_files.SWEEP).get("sweep")
    return found if isinstance(found, int) else 0


def list_runs(runs: Path) -> list[Path]:
    """The run directories in `runs` by number; links are left out. A missing `runs` has none."""
    try:
        with os.scandir(runs) as entries:
            found = [
                (int(name[1]), entry.name)
                for entry in entries
                if (name := _FOLDER.fullmatch(entry.name)) and entry.is_dir(follow_symlinks=False)
            ]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"{runs} cannot be read: {explain(error)}") from None
    return [runs / name for _, name in sorted(found)]


def left_out(runs: Path) -> list[str]:
    """A sentence for each folder in `runs` that holds a run and is not listed: renamed, or a link."""
    try:
        with os.scandir(runs) as entries:
            found = sorted((each.name, each.is_symlink()) for each in entries if not each.name.startswith("."))
    except OSError:
        return []
    problems = []
    for name, is_link in found:
        if is_link and (_FOLDER.fullmatch(name) or (runs / name / run_files.CONFIG).is_file()):
            where = "a link; runs are not read through links. Move the directory itself here"
            problems.append(f"{runs / name} is {where}.")
        elif not is_link and not _FOLDER.fullmatch(name) and (runs / name / run_files.CONFIG).is_file():
            problems.append(f"{runs / name} contains a run, but its name is not like 0012-ce: rename it to list it.")
    return problems


def _next_number(runs: Path, count: int) -> int:
    """The first of `count` numbers that no run has had."""
    for leftover in runs.glob(f"{run_files.NEW_PREFIX}*"):  # of a process killed in `create`: we hold the lock
        shutil.rmtree(leftover, ignore_errors=True)
    existing = max((number(path) for path in list_runs(runs)), default=0)
    sequence = read_bytes(runs / run_files.SEQUENCE) or b""
    following = max(existing, int(sequence) if sequence.strip().isdigit() else 0) + 1
    replace_file(runs / run_files.SEQUENCE, f"{following + count - 1}\n".encode())
    return following
