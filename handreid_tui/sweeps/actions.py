"""What a user does with sweeps: start, extend, stop, resume, remove. Command line and terminal UI call these."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from engine.contract import run_files
from engine.contract.combos import Combo
from engine.contract.config import RunConfig, with_settings
from engine.contract.errors import UserError
from engine.data.split import check_batch, open_split
from handreid_tui.launch import lifecycle
from handreid_tui.launch import trash as launch_trash
from handreid_tui.launch.plan import LaunchPlan, check_place, plan
from handreid_tui.launch.slurm.request import SlurmRequest
from handreid_tui.sweeps.bayes import STARTUP, check_installed
from handreid_tui.sweeps.keeper import look_after_sweeps
from handreid_tui.sweeps.plan_file import (
    FOLDS,
    TRIAL_SEED,
    SweepPlan,
    changing_sweeps,
    new_number,
    plan_path,
    read_plan,
    set_state,
)
from handreid_tui.sweeps.points import quasi_points
from handreid_tui.sweeps.schedule import make, pause
from handreid_tui.sweeps.selection import search_tasks
from handreid_tui.sweeps.space import Dimension, recipe_values, space_of
from handreid_tui.sweeps.trials import Reader

OWN_KEYS = ("data.validation", "data.folds", "data.fold", "evaluation.test")


@dataclass(frozen=True)
class SweepRequest:
    """What a user asks of a sweep. trials: of each combination, its recipe among them."""

    combos: list[str]
    settings: dict[str, Any]
    own: dict[str, Combo]
    over: list[Dimension]
    trials: int = 24
    method: str = "quasi"
    prune: bool = False
    search_seed: int = 0
    folds: int = 1
    shortlist: int = 3
    confirm: int = 3
    launch: dict[str, Any] | None = None
    slurm: SlurmRequest | None = None
    tags: tuple[str, ...] = ()


def prepare(asked: SweepRequest, runs: Path, tell: Callable[[str], None]) -> tuple[SweepPlan, LaunchPlan]:
    """The plan of a sweep without its number, every point checked, and the launch plan of its recipes.

    Nothing is made. Raises UserError for whatever is known to fail at any point.
    """
    _check_numbers(asked)
    _check_method(asked)
    if given := set(OWN_KEYS) & asked.settings.keys():
        raise UserError(f"{min(given)} cannot be set here: `tune` sets it for its trials and confirmations.")
    check_place(asked.settings, on_slurm=asked.slurm is not None)
    held_out = {"data.validation": "identities", "data.folds": FOLDS, "evaluation.test": False}
    grid = {"data.fold": list(range(FOLDS))}
    checked = plan(asked.combos, [TRIAL_SEED], asked.settings | held_out, runs, asked.own, tell, grid)
    published = {"data.validation": "images", "data.fold": 0, "evaluation.test": True, "seed": 0}
    bases: dict[str, RunConfig] = {}
    for config in checked.configs:  # the folds of a combination: the smallest batch fits them all
        base = with_settings(config, published)
        known = bases.setdefault(config.combo, base)
        if base.train.ids_per_batch < known.train.ids_per_batch:
            bases[config.combo] = base
    spaces = {combo: space_of(base, asked.over) for combo, base in bases.items()}
    made = SweepPlan(
        number=0,
        created=round(time.time(), 3),
        bases=bases,
        spaces=spaces,
        points={combo: [recipe_values(base, spaces[combo])] for combo, base in bases.items()},
        trials=asked.trials,
        method=asked.method,
        prune=asked.prune,
        search_seed=asked.search_seed,
        folds=asked.folds,
        shortlist=asked.shortlist,
        confirm=asked.confirm,
        launch=asked.launch or {},
        slurm=asked.slurm,
        tags=asked.tags,
        versions={name: version(name) for name in ("handreid", "scipy")},
    )
    made = _with_points(made)
    _check_points(made)
    return made, checked


def start(made: SweepPlan, runs: Path) -> SweepPlan:
    """Number the sweep, make and queue its trials, and have it carried on. Returns at once.

    Raises UserError with nothing left of it where its runs cannot be queued.
    """
    with changing_sweeps(runs):
        numbered = replace(made, number=new_number(runs))
        with changing_sweeps(runs, numbered.number):
            numbered.write(runs)
            make(runs, numbered, search_tasks(numbered))
            trials = list(Reader(runs, numbered.number).read().values())
            options: dict[str, Any] = {"slurm": numbered.slurm} if numbered.slurm else numbered.launch
            try:
                lifecycle.launch([run.path for run in trials], **options)
            except UserError:
                lifecycle.remove_all(run.path for run in trials)
                plan_path(runs, numbered.number).unlink()
                raise
    look_after_sweeps(runs)
    return numbered


def extend(runs: Path, number: int, trials: int) -> SweepPlan:
    """Let a sweep have `trials` trials of each combination: those it had stay, only the missing are made.

    Raises UserError where it has as many already.
    """
    with changing_sweeps(runs, number):
        old = read_plan(runs, number)
        if trials <= old.trials:
            raise UserError(f"Sweep @{number} has {old.trials} trials per combination already: give a larger --trials.")
        extended = _with_points(replace(old, trials=trials, finished=False))
        _check_points(extended)
        extended.write(runs)
    look_after_sweeps(runs)
    return extended


def stop(runs: Path, number: int) -> int:
    """Stop a sweep: its running trials after their step, the queued ones at once. How many were stopped."""
    with changing_sweeps(runs, number):
        plan = read_plan(runs, number)
        found = Reader(runs, number).read()
        going = sum(run.status in ("queued", "running", "starting") for run in found.values())
        if plan.finished:
            raise UserError(f"Sweep @{number} has finished.")
        pause(runs, plan, found, plan.stopped or "stopped by the user")
        return going


def resume(runs: Path, number: int) -> int:
    """Continue a stopped or paused sweep, with those of its runs that were stopped, failed or lost. How many."""
    with changing_sweeps(runs, number):
        plan = read_plan(runs, number)
        if plan.finished or not plan.stopped:
            raise UserError(f"Sweep @{number} {'has finished' if plan.finished else 'is not stopped'}.")
        found = Reader(runs, number).read().values()
        open_again = [
            run.path for run in found if run.status in ("stopped", "failed", "lost") and not run.never_started
        ]
        if open_again:
            lifecycle.resume(open_again, **({"slurm": plan.slurm} if plan.slurm else plan.launch))
        set_state(runs, number, stopped="")
    look_after_sweeps(runs)
    return len(open_again)


def trash(runs: Path, number: int) -> int:
    """Move a sweep and all its runs to the trash, where it is stopped; how many runs. Raises UserError as `remove`."""
    with changing_sweeps(runs, number):
        found = _let_go(runs, number)
        launch_trash.trash(found)
        if not found:
            plan_path(runs, number).unlink()  # nothing to restore
        else:
            launch_trash.trash_plan(plan_path(runs, number))
        return len(found)


def remove(runs: Path, number: int) -> int:
    """Delete a sweep and all its runs; the bytes freed. Raises UserError where one of them is running."""
    with changing_sweeps(runs, number):
        freed = lifecycle.remove_all(_let_go(runs, number))
        plan_path(runs, number).unlink()
    for leftover in (runs / run_files.SWEEPS).glob(f"{number:04d}.*"):
        leftover.unlink(missing_ok=True)
    return freed


def _let_go(runs: Path, number: int) -> list[Path]:
    """The runs of a sweep that is to be removed, once it makes no more. For the holder of its lock."""
    plan = read_plan(runs, number)
    found = Reader(runs, number).read().values()
    if running := next((run for run in found if run.status in ("starting", "running")), None):
        raise UserError(f"Run {running.path.name} of sweep @{number} is running: `handreid stop @{number}` first.")
    if not plan.finished and not plan.stopped:
        set_state(runs, number, stopped="removed by the user")
    return [run.path for run in found]


def _with_points(made: SweepPlan) -> SweepPlan:
    """With all points of a quasi-random search; of a Bayesian one with the first, the others are asked for later."""
    planned = made.trials if made.method == "quasi" else min(made.trials, STARTUP)
    points = {
        combo: [*known, *quasi_points(made.spaces[combo], planned - len(known), made.search_seed, len(known) - 1)]
        for combo, known in made.points.items()
    }
    return replace(made, points=points)


def _check_points(made: SweepPlan) -> None:
    """Every planned configuration, and that its batches can be drawn on every fold."""
    batches: set[tuple[int, int]] = set()
    for combo in made.combos:
        for point in made.points[combo]:
            config = made.config(combo, point, TRIAL_SEED, 0)
            batches.add((config.train.ids_per_batch, config.train.images_per_id))
    base = next(iter(made.bases))
    for fold in range(FOLDS) if len(batches) > 1 else ():
        split = open_split(made.config(base, {}, TRIAL_SEED, fold).data)
        for ids_per_batch, images_per_id in sorted(batches):
            check_batch(split, ids_per_batch, images_per_id)


def _check_method(asked: SweepRequest) -> None:
    if asked.method == "bayes":
        check_installed("--method bayes")
        if asked.slurm:
            raise UserError("--method bayes needs the keeper, which does not run on Slurm: use --method quasi.")
    fixed = {"train.epochs", "evaluation.every"} & {one.key for one in asked.over}
    if asked.prune and fixed:
        raise UserError(f"--prune compares trials at the same epoch: {min(fixed)} cannot be varied with it.")
    if asked.prune and asked.slurm:
        raise UserError("--prune needs the keeper on this machine: leave it out on Slurm.")


def _check_numbers(asked: SweepRequest) -> None:
    limits = {"--trials": (asked.trials, 1, 10_000), "--confirm": (asked.confirm, 1, 100)}
    limits |= {"--shortlist": (asked.shortlist, 1, asked.trials)}
    for name, (value, low, high) in limits.items():
        if not low <= value <= high:
            raise UserError(f"{name} is a number from {low} to {high}, but got {value}.")
    if asked.folds not in (1, FOLDS):
        raise UserError(f"--folds is 1 or {FOLDS}, but got {asked.folds}.")
