"""From the run history to the finished runs that a comparison takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Engine

from engine.contract.errors import UserError
from handreid_tui.compare.comparison import Comparison, compare
from handreid_tui.compare.finished_run import FinishedRun
from handreid_tui.compare.report_cache import read_runs
from handreid_tui.compare.table import By
from handreid_tui.compare.tuning import best_by_validation
from handreid_tui.history import find_run, list_runs
from handreid_tui.sweeps.roles import CONFIRM, SHORTLIST, TRIAL


def finished_runs(history: Engine, names: Sequence[str] = ()) -> tuple[list[FinishedRun], list[str]]:
    """The runs called `names`, or without names all finished ones that are not archived, and notes on those left out.

    Runs that were not tested, such as the trials of a sweep, take no part. A named run that is not finished, not tested
    or not readable raises UserError; an unreadable one among all is a note.
    """
    if names:
        rows = list({row.number: row for row in (find_run(history, name) for name in names)}.values())
        for row in rows:
            if row.status != "finished":
                name = f"{row.number} ({row.path.name})"
                raise UserError(f"Run {name} is {row.status}: only a finished run can be compared.")
            if row.role in (TRIAL, SHORTLIST):
                raise UserError(f"Run {row.number} ({row.path.name}) is a {row.role} run of a sweep, without a test.")
    else:
        rows = [row for row in list_runs(history) if row.status == "finished" and row.role not in (TRIAL, SHORTLIST)]
    runs, notes = [], []
    for row, read in zip(rows, read_runs(history, rows), strict=True):
        if not isinstance(read, UserError):
            runs.append(replace(read, validation=row.metrics["best_val_mAP"]))
        elif names:
            raise read
        else:
            notes.append(f"Left out: {read}")
    if any(row.role == CONFIRM for row in rows):
        from handreid_tui.compare.tuned_runs import (
            with_tuning,  # late: most comparisons have no sweep
        )

        runs, more = with_tuning(runs)
        notes += more
    return runs, notes


def compare_history(
    history: Engine,
    names: Sequence[str] = (),
    by: By | None = None,
    baseline: str = "ce",
    claims: bool = False,
    published: bool = False,
    select: bool = False,
) -> Comparison:
    """What `handreid compare` answers: all finished runs by combination, or the named ones side by side.

    select: of each combination, only the configuration that is best by validation.

    Raises UserError where there is nothing to compare.
    """
    runs, notes = finished_runs(history, names)
    if select:
        runs = best_by_validation(runs)
    return compare(runs, by or ("run" if names else "combo"), baseline, claims, published, notes)
