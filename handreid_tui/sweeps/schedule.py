"""One step of a sweep: make the runs that are missing, queue what was never started, resume what was lost.

Everything under the sweep's lock and from the directories alone, so a step that was killed anywhere is taken again.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.contract.errors import UserError
from handreid_tui.launch import devices, lifecycle
from handreid_tui.runs.directory import create_all
from handreid_tui.runs.safe_files import read_json, write_json
from handreid_tui.runs.state import observe
from handreid_tui.sweeps import bayes
from handreid_tui.sweeps.plan_file import SweepPlan, changing_sweeps, read_plan, set_state
from handreid_tui.sweeps.prune import ValidationCurves, behind, is_pruned, mark_pruned
from handreid_tui.sweeps.roles import CONFIRM
from handreid_tui.sweeps.selection import Found, search_tasks, trial_value, wanted_tasks
from handreid_tui.sweeps.trials import RESUMES, Reader, SweepRun, TrialTask, equal_failures, resumed_path

EQUAL_FAILURES = 3  # in a row pause the sweep


def advance(runs: Path, number: int, reader: Reader, curves: ValidationCurves | None = None) -> bool:
    """Take a step. Whether there is more to do later: not where the sweep has finished, or is stopped.

    Raises UserError where a run cannot be made or queued; the next step tries again.
    """
    with changing_sweeps(runs, number):
        plan = read_plan(runs, number)
        if plan.finished or plan.stopped:
            return False
        found = reader.read()
        if reason := equal_failures(found.values(), EQUAL_FAILURES):
            pause(runs, plan, found, f"{EQUAL_FAILURES} runs in a row failed: {reason}")
            return False
        if plan.prune:
            _prune(plan, found, curves or ValidationCurves())
        plan = _with_proposals(runs, plan, found)
        wanted = wanted_tasks(plan, found)
        if missing := [task for task in wanted if task not in found]:
            make(runs, plan, missing)
            found = reader.read()
        ours = [found[task] for task in wanted if task in found]
        _start(plan, [run for run in ours if run.never_started])
        _resume_lost(runs, plan, [run for run in ours if run.status == "lost" and not run.never_started])
        found = reader.read()
        complete = len(ours) == len(wanted) and all(found[task].settled for task in wanted if task in found)
        if complete and wanted == wanted_tasks(plan, found):
            set_state(runs, number, finished=True)
            return False
        return True


def _with_proposals(runs: Path, plan: SweepPlan, found: Found) -> SweepPlan:
    """Of a Bayesian search: with the next points, as many as trials can go on at once, in turns over the combinations.

    They are in the plan's file before their runs are made, so a kill in between changes none.
    """
    if plan.method != "bayes":
        return plan
    width = max(1, int(plan.launch.get("parallel", 1)), len(devices.list_gpus()))
    planned = search_tasks(plan)
    going = sum(task not in found or not found[task].settled for task in planned) // plan.folds
    points, seen = dict(plan.points), dict(plan.seen)
    while going < width:
        combo = min(plan.combos, key=lambda combo: len(points[combo]))
        trial = len(points[combo])
        if trial >= plan.trials:
            break
        values = {n: trial_value(plan, found, combo, n) for n in range(trial)}
        known = {n: value for n, value in values.items() if value is not None}
        seed = plan.search_seed * 1_000_003 + trial
        point = bayes.propose(plan.spaces[combo], [(points[combo][n], value) for n, value in known.items()], seed)
        points[combo] = [*points[combo], point]
        seen[combo] = [*seen.get(combo, []), list(known)]
        going += 1
    if points == plan.points:
        return plan
    plan = replace(plan, points=points, seen=seen)
    plan.write(runs)
    return plan


def _prune(plan: SweepPlan, found: Found, curves: ValidationCurves) -> None:
    """Stop the trials that fell behind, and those that were to be stopped by a step that was killed."""
    epochs = next(iter(plan.bases.values())).train.epochs
    for run, reason in behind(found.values(), curves, epochs):
        if not is_pruned(run.path):
            mark_pruned(run.path, reason)
    marked = [run.path for run in found.values() if run.status == "running" and is_pruned(run.path)]
    lifecycle.stop_all(path for path in marked if not lifecycle.is_stopping(path))


def make(runs: Path, plan: SweepPlan, tasks: list[TrialTask]) -> None:
    """The run directories of `tasks`, in their order. Raises UserError with none made."""
    configs, sweeps = [], []
    for task in tasks:
        point = plan.points[task.combo][task.trial]
        configs.append(plan.config(task.combo, point, task.seed, None if task.role == CONFIRM else task.fold))
        sweeps.append(task.as_json(plan.number, point))
    create_all(runs, configs, tags=plan.tags, sweeps=sweeps)


def pause(runs: Path, plan: SweepPlan, found: Found, reason: str) -> None:
    """Stop a sweep, those of its runs that are queued first. For the holder of its lock."""
    set_state(runs, plan.number, stopped=reason)
    open_runs = [run.path for run in found.values() if run.status in ("queued", "running", "starting")]
    lifecycle.stop_all(path for path in open_runs if path.is_dir())


def _start(plan: SweepPlan, runs: list[SweepRun]) -> None:
    if runs:
        lifecycle.launch([run.path for run in runs], **_options(plan))


def _resume_lost(runs: Path, plan: SweepPlan, lost: list[SweepRun]) -> None:
    """Resume what was lost, each run three times at most; after that it counts as failed."""
    if not lost:
        return
    counts = resumed_path(runs, plan.number)
    resumed: dict[str, Any] = read_json(counts)
    for run in lost:
        times = resumed.get(run.path.name, 0)
        if times < RESUMES:
            try:
                lifecycle.resume([run.path], **_options(plan))
            except UserError:
                if run.path.is_dir() and not observe(run.path).final:
                    continue  # it came back by itself
                raise
        resumed |= {run.path.name: times + 1}
        write_json(counts, resumed)  # after it: killed in between, the run is resumed once more, not once less


def _options(plan: SweepPlan) -> dict[str, Any]:
    return {"slurm": plan.slurm} if plan.slurm else dict(plan.launch)
