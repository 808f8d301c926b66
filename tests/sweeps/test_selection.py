"""What is searched, in which order, and what is chosen: pure, on made-up results."""

from __future__ import annotations

import itertools
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from engine.contract.combos import COMBOS
from engine.contract.config import resolve
from engine.contract.errors import UserError
from handreid_tui.sweeps import selection
from handreid_tui.sweeps.plan_file import FOLDS, SweepPlan
from handreid_tui.sweeps.points import quasi_points
from handreid_tui.sweeps.roles import CONFIRM, SHORTLIST, TRIAL
from handreid_tui.sweeps.space import Dimension, default_space, read_over, recipe_values, space_of
from handreid_tui.sweeps.trials import SweepRun, TrialTask

RATE = [Dimension("train.lr", 1e-5, 1e-1, log=True)]


def plan(
    trials: int = 6, folds: int = 1, shortlist: int = 2, combos: tuple[str, ...] = ("ce", "ce_triplet")
) -> SweepPlan:
    bases = {combo: resolve(combo) for combo in combos}
    points = {combo: [recipe_values(bases[combo], RATE), *quasi_points(RATE, trials - 1, 0)] for combo in combos}
    return SweepPlan(1, 0.0, bases, dict.fromkeys(combos, RATE), points, trials, folds=folds, shortlist=shortlist)


def value(task: TrialTask) -> float:
    return 0.5 + 0.05 * task.trial - 0.2 * (task.trial == 5 and task.role == SHORTLIST)


def done(tasks: list[TrialTask], status: str = "finished") -> dict[TrialTask, SweepRun]:
    return {task: SweepRun(task, Path("x"), status, value(task) if status == "finished" else None) for task in tasks}


def test_trials_take_turns_and_any_cut_leaves_counts_that_differ_by_one() -> None:
    tasks = selection.search_tasks(plan(combos=("ce", "ce_triplet", "ce_arcface")))
    for cut in range(len(tasks) + 1):
        counts = [sum(task.combo == combo for task in tasks[:cut]) for combo in ("ce", "ce_triplet", "ce_arcface")]
        assert max(counts) - min(counts) <= 1
    assert [task.trial for task in tasks] == sorted(task.trial for task in tasks)


def test_the_phases_follow_each_other_and_nothing_is_asked_for_twice() -> None:
    made = plan()
    search = selection.wanted_tasks(made, {})
    assert {task.role for task in search} == {TRIAL}
    assert selection.wanted_tasks(made, done(search[:-1])) == search
    short = selection.wanted_tasks(made, done(search))
    assert [task for task in short if task.role == SHORTLIST and task.combo == "ce"] == [
        TrialTask(SHORTLIST, "ce", trial, fold, search[0].seed) for trial in (5, 4) for fold in (1, 2, 3)
    ]
    everything = selection.wanted_tasks(made, done(short))
    confirmations = [task for task in everything if task.role == CONFIRM]
    assert {task.trial for task in confirmations} == {4}  # trial 5 was lucky on its one fold
    assert len(confirmations) == 6
    assert len(set(everything)) == len(everything) == made.trainings
    assert selection.wanted_tasks(made, done(everything)) == everything


def test_the_choice_is_made_from_the_first_trials_that_all_combinations_completed() -> None:
    made = plan()
    found = done([task for task in selection.search_tasks(made) if task.combo == "ce" or task.trial < 3])
    assert selection.used_trials(made, found) == 3
    assert selection.shortlisted(made, found, "ce") == [2, 1]
    del found[TrialTask(TRIAL, "ce", 0, 0, 1000)]
    assert selection.used_trials(made, found) == 0
    assert selection.choose(made, found, "ce") is None


def test_failed_and_stopped_trials_are_spent_and_never_chosen() -> None:
    made = plan()
    tasks = selection.search_tasks(made)
    found = done(tasks) | done([task for task in tasks if task.trial in (4, 5)], "stopped")
    assert selection.used_trials(made, found) == 6
    assert selection.shortlisted(made, found, "ce") == [3, 2]


def test_with_four_folds_a_trial_is_the_mean_of_them_and_nothing_is_repeated() -> None:
    made = plan(folds=FOLDS)
    found = done(selection.search_tasks(made))
    choice = selection.choose(made, found, "ce")
    assert choice
    assert (choice.trial, choice.other_folds) == (5, None)
    assert {task.role for task in selection.wanted_tasks(made, found)} == {TRIAL, CONFIRM}


def test_the_expected_best_is_that_of_all_subsets() -> None:
    values = np.random.default_rng(0).normal(size=7).tolist()
    curve = selection.expected_best(values)
    for n in range(1, 8):
        assert curve[n - 1] == pytest.approx(fmean(map(max, itertools.combinations(values, n))))
    assert selection.expected_best([]) == []


def test_more_points_continue_the_sequence_and_cover_the_range() -> None:
    space = default_space(resolve("ce_arcface"))
    whole = quasi_points(space, 32, 7)
    assert quasi_points(space, 12, 7) + quasi_points(space, 20, 7, skip=12) == whole
    assert quasi_points(space, 8, 8) != whole[:8]
    margins = sorted(point["loss.arcface.margin"] for point in whole)
    assert max(b - a for a, b in itertools.pairwise(margins)) < 3 * 0.6 / 32
    assert all(0.1 <= margin <= 0.7 for margin in margins)


@pytest.mark.parametrize("combo", [combo for combo in COMBOS if COMBOS[combo].weights])
def test_defaults_are_the_combinations_own_settings_with_the_recipe_inside(combo: str) -> None:
    config = resolve(combo)
    space = space_of(config, [])
    terms = {dimension.key.split(".")[1] for dimension in space if dimension.key.startswith("loss.")}
    assert terms <= config.loss.keys()
    values = recipe_values(config, space)
    assert all(one.low <= values[one.key] <= one.high for one in space)


def test_ranges_steps_and_lists_are_read() -> None:
    space = read_over(["train.lr=1e-6..3e-5:log", "train.ids_per_batch=8..32:4", "evaluation.flip=true,false"])
    points = quasi_points(space, 40, 0)
    assert {point["train.ids_per_batch"] for point in points} == {8, 12, 16, 20, 24, 28, 32}
    assert {point["evaluation.flip"] for point in points} == {True, False}
    assert all(1e-6 <= point["train.lr"] <= 3e-5 for point in points)
    assert space[0].at_edge(1e-6)
    assert space[0].at_edge(2.9e-5)
    assert not space[0].at_edge(5e-6)


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ("train.lr", "takes KEY=A..B"),
        ("train.lr=3..1", "is not a valid range"),
        ("train.lr=0..1:log", "above 0 with log"),
        ("train.lr=1..2:often", "log or a step"),
        ("train.lr=1..2:5", "is not a valid range"),
        ("train.lrr=1..2", "Did you mean 'train.lr'"),
        ("data.fold=0..3", "cannot vary data.fold"),
        ("model.name=a,b", "cannot vary model.name"),
    ],
)
def test_what_is_no_dimension_is_refused(over: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_over([over])


def test_a_combination_without_any_of_the_settings_is_refused() -> None:
    with pytest.raises(UserError, match="ce has none of the settings"):
        space_of(resolve("ce"), read_over(["loss.triplet.margin=0.1..0.5"]))
    with pytest.raises(UserError, match="nothing to tune"):
        space_of(resolve("zero_shot"), [])
    with pytest.raises(UserError, match="appears twice"):
        read_over(["train.lr=1..2", "train.lr=1..3"])
