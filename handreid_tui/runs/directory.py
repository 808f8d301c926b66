"""One run directory: making it, finding it, and what a user noted in it (meta.json).

The directory is the truth; the run history is an index over it. The standard library alone: the shim imports this too.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.contract import run_files
from engine.contract.errors import UserError
from handreid_tui.runs.safe_files import (
    explain,
    in_threads,
    modified,
    plain,
    read_bytes,
    read_json,
    replace_file,
    write_json,
)
from handreid_tui.runs.state import FINAL, State, boot_id, claim, is_claimed, observe, process_started

if TYPE_CHECKING:
    from engine.contract.config import RunConfig

__all__ = [
    "FINAL",
    "Meta",
    "State",
    "boot_id",
    "claim",
    "create",
    "edit_meta",
    "is_claimed",
    "list_runs",
    "number",
    "observe",
    "process_started",
]

_FOLDER = re.compile(r"([0-9]{4,9})-([A-Za-z0-9_.+-]+)")


# Making and finding run directories


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
    meta = Meta(tags=_clean_tags(tags), note=plain(note, 10_000), created=round(time.time(), 3))
    fresh = [runs / f"{run_files.NEW_PREFIX}{secrets.token_hex(8)}" for _ in configs]

    def fill(folder: Path, config: RunConfig, sweep: dict[str, Any] | None) -> None:
        folder.mkdir()
        if sweep is not None:
            write_json(folder / run_files.SWEEP, sweep)
        write_json(folder / run_files.CONFIG, config.model_dump())
        meta.write(folder)

    try:
        runs.mkdir(parents=True, exist_ok=True)
        with _locked(runs):
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
    said = []
    for name, is_link in found:
        if is_link and (_FOLDER.fullmatch(name) or (runs / name / run_files.CONFIG).is_file()):
            where = "a link; runs are not read through links. Move the directory itself here"
            said.append(f"{runs / name} is {where}.")
        elif not is_link and not _FOLDER.fullmatch(name) and (runs / name / run_files.CONFIG).is_file():
            said.append(f"{runs / name} holds a run, but its name is not like 0012-ce: rename it, and it is listed.")
    return said


def _next_number(runs: Path, count: int) -> int:
    """The first of `count` numbers that no run has had."""
    for leftover in runs.glob(f"{run_files.NEW_PREFIX}*"):  # of a process killed in `create`: we hold the lock
        shutil.rmtree(leftover, ignore_errors=True)
    existing = max((number(path) for path in list_runs(runs)), default=0)
    sequence = read_bytes(runs / run_files.SEQUENCE) or b""
    following = max(existing, int(sequence) if sequence.strip().isdigit() else 0) + 1
    replace_file(runs / run_files.SEQUENCE, f"{following + count - 1}\n".encode())
    return following


@contextmanager
def _locked(runs: Path) -> Iterator[None]:
    lock = os.open(runs / run_files.RUNS_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


# What a user entered


@dataclass(frozen=True)
class Meta:
    """What a user entered about a run. `created` is in Unix seconds."""

    name: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""
    archived: bool = False
    created: float = 0.0

    @classmethod
    def read(cls, path: Path) -> Meta:
        """The meta.json of the run directory `path`; what is missing or damaged in it reads as not entered."""
        raw = read_json(path / run_files.META)
        created, tags = raw.get("created"), raw.get("tags")
        if not isinstance(created, int | float) or not 0 <= created < 1e11:
            created = modified(path / run_files.CONFIG) or 0.0
        return cls(
            name=_one_line(raw.get("name"), 200),
            tags=_clean_tags(tags if isinstance(tags, list) else ()),
            note=plain(raw.get("note"), 10_000),
            archived=raw.get("archived") is True,
            created=float(created),
        )

    def write(self, path: Path) -> None:
        write_json(path / run_files.META, asdict(self))


def edit_meta(path: Path, change: Callable[[Meta], Meta]) -> Meta:
    """Change meta.json, so that two managers at once lose nothing. Raises UserError where it cannot be written."""
    try:
        with _locked(path.parent):
            meta = change(Meta.read(path))
            meta.write(path)
    except OSError as error:
        raise UserError(f"{path} cannot be changed: {explain(error)}") from None
    return Meta.read(path)


def _clean_tags(tags: Iterable[Any]) -> tuple[str, ...]:
    return tuple(sorted({clean for tag in tags if (clean := _one_line(tag, 100))}))


def _one_line(text: Any, limit: int) -> str:
    return " ".join(plain(text, limit).split())
