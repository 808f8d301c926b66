"""What a user changes about a run: first in its directory, which is the truth, then in the history."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Engine

from engine.contract.errors import UserError
from handreid_tui.history.ingest import ingest_run
from handreid_tui.history.schema import reading
from handreid_tui.runs.meta import Meta, edit_meta


def set_name(history: Engine, number: int, name: str) -> None:
    """Name the run; "" gives it back the name of its directory."""
    _edit(history, number, lambda meta: replace(meta, name=name))


def set_note(history: Engine, number: int, note: str) -> None:
    _edit(history, number, lambda meta: replace(meta, note=note))


def set_tags(history: Engine, number: int, tags: Iterable[str]) -> None:
    wanted = tuple(tags)
    _edit(history, number, lambda meta: replace(meta, tags=wanted))


def add_tag(history: Engine, number: int, tag: str) -> None:
    _edit(history, number, lambda meta: replace(meta, tags=(*meta.tags, tag)))


def remove_tag(history: Engine, number: int, tag: str) -> None:
    _edit(history, number, lambda meta: replace(meta, tags=tuple(other for other in meta.tags if other != tag)))


def archive(history: Engine, number: int, archived: bool = True) -> None:
    """Hide the run from the usual lists, or show it again."""
    _edit(history, number, lambda meta: replace(meta, archived=archived))


def _edit(history: Engine, number: int, change: Callable[[Meta], Meta]) -> None:
    with reading(history) as connection:
        found = connection.exec_driver_sql("SELECT path FROM run WHERE number = ?", (number,)).scalar()
    if found is None:
        raise UserError(f"There is no run {number}: see `handreid runs`.")
    path = Path(found)
    edit_meta(path, change)
    ingest_run(history, path)
