"""From the run history to the finished runs that a comparison takes."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine

from engine.contract.errors import UserError
from handreid_tui.compare.comparison import Comparison, compare
from handreid_tui.compare.finished_run import FinishedRun
from handreid_tui.compare.report_cache import read_runs
from handreid_tui.compare.table import By
from handreid_tui.history import find_run, list_runs


def finished_runs(history: Engine, names: Sequence[str] = ()) -> tuple[list[FinishedRun], list[str]]:
    """The runs called `names`, or without names all finished ones that are not archived, and notes on those left out.

    A named run that is not finished or not readable raises UserError; an unreadable one among all is a note.
    """
    if names:
        rows = list({row.number: row for row in (find_run(history, name) for name in names)}.values())
        for row in rows:
            if row.status != "finished":
                name = f"{row.number} ({row.path.name})"
                raise UserError(f"Run {name} is {row.status}: only a finished run can be compared.")
    else:
        rows = [row for row in list_runs(history) if row.status == "finished"]
    runs, notes = [], []
    for read in read_runs(history, rows):
        if not isinstance(read, UserError):
            runs.append(read)
        elif names:
            raise read
        else:
            notes.append(f"Left out: {read}")
    return runs, notes


def compare_history(
    history: Engine,
    names: Sequence[str] = (),
    by: By | None = None,
    baseline: str = "ce",
    claims: bool = False,
    published: bool = False,
) -> Comparison:
    """What `handreid compare` answers: all finished runs by combination, or the named ones side by side.

    Raises UserError where there is nothing to compare.
    """
    runs, notes = finished_runs(history, names)
    return compare(runs, by or ("run" if names else "combo"), baseline, claims, published, notes)
