"""The confirmations of sweeps among the runs of a comparison, each with how its settings were found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.contract.errors import UserError
from handreid_tui.compare.finished_run import FinishedRun
from handreid_tui.compare.search_variation import Noise, SearchError, noise_of, search_error
from handreid_tui.compare.tuning import Tuning
from handreid_tui.runs import directory
from handreid_tui.sweeps.roles import CONFIRM
from handreid_tui.sweeps.selection import choose, repeated_values, used_trials
from handreid_tui.sweeps.status import SweepStatus, at_edge, read_status
from handreid_tui.sweeps.trials import read_task


def with_tuning(runs: Sequence[FinishedRun]) -> tuple[list[FinishedRun], list[str]]:
    """The runs with their tuning where a sweep confirmed them, without those of an earlier choice; and notes."""
    sweeps: dict[tuple[Path, int], SweepStatus | None] = {}
    kept, notes = [], []
    for run in runs:
        task = read_task(run.directory)
        if task is None or task.role != CONFIRM:
            kept.append(run)
            continue
        place = run.directory.parent, directory.sweep(run.directory)
        if place not in sweeps:
            sweeps[place] = _status(*place)
        status = sweeps[place]
        choice = choose(status.plan, status.found, task.combo) if status else None
        if status is None or choice is None:
            notes.append(
                f"{run.name} belongs to a sweep that was removed or is incomplete: left out, as its tuning is unknown."
            )
        elif choice.trial != task.trial:
            notes.append(
                f"Sweep {place[1]} confirmed {task.combo} with two choices of settings: only the latest is shown."
            )
        else:
            tuning = Tuning(
                sweep=place[1],
                trials=used_trials(status.plan, status.found),
                method=status.plan.method + (", pruned" if status.plan.prune else ""),
                folds=status.plan.folds,
                values=choice.values,
                validation=choice.validation,
                other_folds=choice.other_folds,
                at_edge=tuple(at_edge(status.plan, choice)),
                search=_search_error(status, task.combo),
            )
            kept.append(replace(run, tuning=tuning))
    return kept, list(dict.fromkeys(notes))


def _search_error(status: SweepStatus, combo: str) -> SearchError | None:
    """None where the points of a search depend on each other (bayes), or are too few."""
    if status.plan.method != "quasi":
        return None
    known = [value for value in status.values(combo) if value is not None]
    noise = noise_of([np.array(rows) for rows in repeated_values(status.plan, status.found).values() if rows])
    return search_error(known, Noise(noise.variance / status.plan.folds, noise.freedom))


def _status(runs: Path, sweep: int) -> SweepStatus | None:
    try:
        return read_status(runs, sweep)
    except UserError:
        return None
