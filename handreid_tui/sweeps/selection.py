"""Which trainings a sweep needs next, and which settings it chose. Pure: from a plan and what its runs reached.

Every combination is judged on the same number of trials. Test people take no part: all values are of validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import comb
from statistics import fmean
from typing import Any

from handreid_tui.sweeps.plan_file import FOLDS, TRIAL_SEED, SweepPlan
from handreid_tui.sweeps.roles import CONFIRM, SHORTLIST, TRIAL
from handreid_tui.sweeps.trials import SweepRun, TrialTask

Found = Mapping[TrialTask, SweepRun]


@dataclass(frozen=True)
class Choice:
    """The settings chosen for a combination. validation: the value that won the search, optimistic. other_folds: its
    mean on the people that the search did not see, None where every trial saw all.
    """

    combo: str
    trial: int
    values: dict[str, Any]
    validation: float
    other_folds: float | None


def search_tasks(plan: SweepPlan) -> list[TrialTask]:
    """Every trial, in turns over the combinations: cut anywhere, their numbers differ by at most one."""
    trials = [
        TrialTask(TRIAL, combo, trial, fold, TRIAL_SEED)
        for trial, fold, combo in product(range(plan.trials), range(plan.folds), plan.combos)
    ]
    return [task for task in trials if task.trial < len(plan.points[task.combo])]


def wanted_tasks(plan: SweepPlan, found: Found) -> list[TrialTask]:
    """All trainings of the phases that can be planned by now, in the order in which they are to be trained."""
    tasks = search_tasks(plan)
    if any(len(plan.points[combo]) < plan.trials for combo in plan.combos) or not _settled(tasks, found):
        return tasks
    for trial, combo in product(range(plan.shortlist), plan.combos):
        shortlist = shortlisted(plan, found, combo)
        if trial < len(shortlist):
            tasks += _repetitions(plan, combo, shortlist[trial])
    if not _settled(tasks, found):
        return tasks
    for seed, combo in product(range(plan.confirm), plan.combos):
        if choice := choose(plan, found, combo):
            tasks.append(TrialTask(CONFIRM, combo, choice.trial, -1, seed))
    return tasks


def completed(plan: SweepPlan, found: Found, combo: str) -> int:
    """How many of the first trials of a combination are settled on all of their folds."""
    count = 0
    while count < plan.trials and _settled([_task(combo, count, fold) for fold in range(plan.folds)], found):
        count += 1
    return count


def used_trials(plan: SweepPlan, found: Found) -> int:
    """The trials that the choice is made from: the first n that all combinations completed."""
    return min(completed(plan, found, combo) for combo in plan.combos)


def trial_value(plan: SweepPlan, found: Found, combo: str, trial: int) -> float | None:
    """The mean validation mAP of a trial over the folds of the search; None where one has no value."""
    return _mean([found.get(_task(combo, trial, fold)) for fold in range(plan.folds)])


def shortlisted(plan: SweepPlan, found: Found, combo: str) -> list[int]:
    """The best trials of the search, the best first."""
    values = {trial: trial_value(plan, found, combo, trial) for trial in range(used_trials(plan, found))}
    ranked = sorted((-value, trial) for trial, value in values.items() if value is not None)
    return [trial for _, trial in ranked[: plan.shortlist]]


def repeated_values(plan: SweepPlan, found: Found) -> dict[str, list[list[float]]]:
    """Of each combination the validation mAP of settings on several folds, [settings][folds]; no fold that chose them.

    Where the search used one fold, those are the shortlisted settings on the others; else all trials on all folds.
    """
    tables: dict[str, list[list[float]]] = {}
    for combo in plan.combos:
        if plan.folds == FOLDS:
            tasks = [[_task(combo, trial, fold) for fold in range(FOLDS)] for trial in range(used_trials(plan, found))]
        else:
            tasks = [_repetitions(plan, combo, trial) for trial in shortlisted(plan, found, combo)]
        rows = [[found[task].value for task in row if task in found] for row in tasks]
        known = [[value for value in row if value is not None] for row in rows]
        tables[combo] = [row for row, asked in zip(known, tasks, strict=True) if len(row) == len(asked)]
    return tables


def choose(plan: SweepPlan, found: Found, combo: str) -> Choice | None:
    """The best of the shortlist over all folds; None where no trial has a value on all of them yet."""
    best: tuple[float, Choice] | None = None
    for trial in shortlisted(plan, found, combo):
        validation = trial_value(plan, found, combo, trial)
        others = [found.get(task) for task in _repetitions(plan, combo, trial)]
        elsewhere = _mean(others)
        if validation is None or (others and elsewhere is None):
            continue
        overall = (validation * plan.folds + (elsewhere or 0.0) * len(others)) / FOLDS
        if best is None or overall > best[0]:
            best = overall, Choice(combo, trial, plan.points[combo][trial], validation, elsewhere)
    return best[1] if best else None


def expected_best(values: list[float]) -> list[float]:
    """The expected best of n = 1, 2, … of these values, without bias (Tang et al. 2020, equation 5).

    It speaks of trials drawn independently: quasi-random ones, without pruning.
    """
    ordered, count = sorted(values), len(values)
    return [
        sum(comb(i - 1, n - 1) * x for i, x in enumerate(ordered, start=1) if i >= n) / comb(count, n)
        for n in range(1, count + 1)
    ]


def _task(combo: str, trial: int, fold: int) -> TrialTask:
    return TrialTask(TRIAL, combo, trial, fold, TRIAL_SEED)


def _repetitions(plan: SweepPlan, combo: str, trial: int) -> list[TrialTask]:
    """A shortlisted trial on the folds that the search left out."""
    return [TrialTask(SHORTLIST, combo, trial, fold, TRIAL_SEED) for fold in range(plan.folds, FOLDS)]


def _settled(tasks: list[TrialTask], found: Found) -> bool:
    return all(task in found and found[task].settled for task in tasks)


def _mean(runs: list[SweepRun | None]) -> float | None:
    values = [run.value for run in runs if run is not None and run.value is not None]
    return fmean(values) if runs and len(values) == len(runs) else None
