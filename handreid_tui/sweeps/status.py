"""How far a sweep is and what it chose: computed from its plan and its run directories, for lists and for JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handreid_tui.sweeps.bayes import importances
from handreid_tui.sweeps.plan_file import SweepPlan, read_plan
from handreid_tui.sweeps.prune import is_pruned
from handreid_tui.sweeps.roles import CONFIRM, ROLES, SHORTLIST, TRIAL
from handreid_tui.sweeps.selection import (
    Choice,
    Found,
    choose,
    completed,
    expected_best,
    shortlisted,
    trial_value,
    used_trials,
    wanted_tasks,
)
from handreid_tui.sweeps.trials import Reader


@dataclass(frozen=True)
class SweepStatus:
    """phase: search, shortlist, confirm, finished, or stopped (`plan.stopped` says why)."""

    plan: SweepPlan
    found: Found
    phase: str

    @property
    def counts(self) -> dict[str, int]:
        """Runs by status; what is planned and not made yet is left out."""
        counts: dict[str, int] = {}
        for run in self.found.values():
            counts[run.status] = counts.get(run.status, 0) + 1
        return counts

    @property
    def best(self) -> float | None:
        """The best validation mAP of a trial so far."""
        values = [run.value for run in self.found.values() if run.task.role == TRIAL and run.value is not None]
        return max(values, default=None)

    def choice(self, combo: str) -> Choice | None:
        """What was chosen for a combination; None before its shortlist is complete."""
        return choose(self.plan, self.found, combo) if self.phase in ("confirm", "finished") else None

    def values(self, combo: str) -> list[float | None]:
        """The validation mAP of each trial that the choice is made from."""
        used = range(used_trials(self.plan, self.found))
        return [trial_value(self.plan, self.found, combo, trial) for trial in used]

    def expected_best(self, combo: str) -> list[float] | None:
        """The expected best validation of n trials; None where they were not drawn independently, or were pruned."""
        if self.plan.method != "quasi" or self.plan.prune:
            return None
        return expected_best([value for value in self.values(combo) if value is not None]) or None


def read_status(runs: Path, number: int) -> SweepStatus:
    """Raises UserError where there is no such sweep."""
    plan, found = read_plan(runs, number), Reader(runs, number).read()
    if plan.finished:
        return SweepStatus(plan, found, "finished")
    if plan.stopped:
        return SweepStatus(plan, found, "stopped")
    roles = {task.role for task in wanted_tasks(plan, found)}
    return SweepStatus(plan, found, {TRIAL: "search"}.get(role := max(roles, key=ROLES.index), role))


def as_object(status: SweepStatus) -> dict[str, Any]:
    """A sweep as `sweeps --json` prints it. Accuracies are fractions."""
    plan = status.plan
    return {
        "sweep": plan.number,
        "phase": status.phase,
        "stopped": plan.stopped or None,
        "method": plan.method,
        "prune": plan.prune,
        "search_seed": plan.search_seed,
        "trials": plan.trials,
        "folds": plan.folds,
        "shortlist": plan.shortlist,
        "confirm": plan.confirm,
        "trainings": plan.trainings,
        "used": used_trials(plan, status.found),
        "counts": dict(sorted(status.counts.items())),
        "combos": [_combo(status, combo) for combo in plan.combos],
    }


def _combo(status: SweepStatus, combo: str) -> dict[str, Any]:
    plan, found, choice = status.plan, status.found, status.choice(combo)
    runs = [run for task, run in found.items() if task.combo == combo]
    return {
        "combo": combo,
        "space": [dimension.as_json() for dimension in plan.spaces[combo]],
        "completed": completed(plan, found, combo),
        "values": status.values(combo),
        "expected_best": status.expected_best(combo),
        "importances": importances_of(status, combo),
        "shortlist": shortlisted(plan, found, combo) if status.phase in (SHORTLIST, CONFIRM, "finished") else [],
        "chosen": choice
        and {
            "trial": choice.trial,
            "values": choice.values,
            "validation": choice.validation,
            "other_folds": choice.other_folds,
            "at_edge": at_edge(plan, choice),
        },
        "confirmed": [run.path.name for run in runs if run.task.role == CONFIRM and run.status == "finished"],
        "runs": [
            {
                "run": run.path.name,
                "role": run.task.role,
                "trial": run.task.trial,
                "fold": run.task.fold,
                "seed": run.task.seed,
                "status": run.status,
                "value": run.value,
                "reason": run.reason or None,
                "pruned": is_pruned(run.path),
                "values": plan.points[combo][run.task.trial] if run.task.trial < len(plan.points[combo]) else None,
            }
            for run in runs
        ],
    }


def importances_of(status: SweepStatus, combo: str) -> dict[str, float] | None:
    """How much each setting of a combination mattered; None with too few trials, or without Optuna."""
    points = status.plan.points[combo]
    known = [(points[trial], value) for trial, value in enumerate(status.values(combo)) if value is not None]
    return importances(status.plan.spaces[combo], known)


def at_edge(plan: SweepPlan, choice: Choice) -> list[str]:
    """The settings whose chosen value lies at the edge of its range: a wider range might hold a better one."""
    return [one.key for one in plan.spaces[choice.combo] if one.at_edge(choice.values.get(one.key))]
