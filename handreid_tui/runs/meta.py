"""What a user entered about a run: its meta.json. The standard library alone."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.contract import run_files
from engine.contract.errors import UserError
from handreid_tui.runs.safe_files import explain, modified, plain, read_json, write_json


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
            tags=clean_tags(tags if isinstance(tags, list) else ()),
            note=plain(raw.get("note"), 10_000),
            archived=raw.get("archived") is True,
            created=float(created),
        )

    def write(self, path: Path) -> None:
        write_json(path / run_files.META, asdict(self))


def edit_meta(path: Path, change: Callable[[Meta], Meta]) -> Meta:
    """Change meta.json, so that two managers at once lose nothing. Raises UserError where it cannot be written."""
    try:
        with locked(path.parent):
            meta = change(Meta.read(path))
            meta.write(path)
    except OSError as error:
        raise UserError(f"{path} cannot be changed: {explain(error)}") from None
    return Meta.read(path)


def clean_tags(tags: Iterable[Any]) -> tuple[str, ...]:
    return tuple(sorted({clean for tag in tags if (clean := _one_line(tag, 100))}))


def _one_line(text: Any, limit: int) -> str:
    return " ".join(plain(text, limit).split())


@contextmanager
def locked(runs: Path) -> Iterator[None]:
    """Hold the lock under which runs are made in `runs` and their meta.json is edited. Raises OSError."""
    lock = os.open(runs / run_files.RUNS_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
