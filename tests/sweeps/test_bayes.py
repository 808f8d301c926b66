"""Optuna's proposals from the run directories, and what works without Optuna."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.contract import run_files
from engine.contract.errors import UserError
from handreid_tui.sweeps import actions, bayes
from handreid_tui.sweeps.plan_file import read_plan
from handreid_tui.sweeps.points import quasi_points
from handreid_tui.sweeps.prune import ValidationCurves, behind
from handreid_tui.sweeps.roles import TRIAL
from handreid_tui.sweeps.space import read_over
from handreid_tui.sweeps.status import as_object, read_status
from handreid_tui.sweeps.trials import Reader, SweepRun, TrialTask
from tests.support.launch_tools import until
from tests.support.run_files import append
from tests.support.sweep_tools import asked, planned, sweep_runs

__all__ = ["sweep_runs"]
SPACE = read_over(["train.lr=1e-5..1e-1:log", "train.ids_per_batch=4..16:4", "evaluation.flip=true,false"])
SCRIPT = """
import json, sys
from handreid_tui.sweeps import bayes
from handreid_tui.sweeps.space import read_over
space = read_over(json.loads(sys.argv[1]))
print(json.dumps(bayes.propose(space, json.loads(sys.argv[2]), 7)))
"""


@pytest.fixture
def optuna() -> None:
    pytest.importorskip("optuna")


def results(count: int) -> list[bayes.Result]:
    """Better the nearer the rate is to 1e-3; flip and batch do nothing."""
    points = quasi_points(SPACE, count, 3)
    return [(point, 1 - abs(point["train.lr"] - 1e-3)) for point in points]


@pytest.mark.usefixtures("optuna")
def test_the_same_results_give_the_same_proposal_in_two_processes() -> None:
    texts = ["train.lr=1e-5..1e-1:log", "train.ids_per_batch=4..16:4", "evaluation.flip=true,false"]
    command = [sys.executable, "-c", SCRIPT, json.dumps(texts), json.dumps(results(12))]
    told = {subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)}
    assert len(told) == 1
    point = json.loads(told.pop())
    assert 1e-5 <= point["train.lr"] <= 1e-1
    assert point["train.ids_per_batch"] in (4, 8, 12, 16)
    assert point["evaluation.flip"] in (True, False)


@pytest.mark.usefixtures("optuna")
def test_a_recipe_beyond_the_ranges_does_not_stop_the_search() -> None:
    outside = ({"train.lr": 5.0, "train.ids_per_batch": 4, "evaluation.flip": True}, 0.5)
    assert bayes.propose(SPACE, [outside, *results(4)], 1)


@pytest.mark.usefixtures("optuna")
def test_importances_come_from_96_trials_on_and_name_the_strongest() -> None:
    assert bayes.importances(SPACE, results(95)) is None
    found = bayes.importances(SPACE, results(96))
    assert found
    assert max(found, key=lambda key: found[key]) == "train.lr"


@pytest.mark.usefixtures("optuna")
def test_a_bayesian_sweep_asks_as_it_goes_and_keeps_what_it_knew(hands: Path, sweep_runs: Path) -> None:
    changes = {"method": "bayes", "trials": 10, "shortlist": 1, "confirm": 1}
    actions.start(planned(hands, sweep_runs, "ce", "ce_triplet", **changes), sweep_runs)
    assert {len(points) for points in read_plan(sweep_runs, 1).points.values()} == {8}
    until(lambda: read_status(sweep_runs, 1).phase == "finished", 240)
    plan = read_plan(sweep_runs, 1)
    assert {len(points) for points in plan.points.values()} == {10}
    assert all(len(seen) == 2 and len(seen[0]) >= 1 for seen in plan.seen.values())
    found = Reader(sweep_runs, 1).read()
    assert sum(task.role == TRIAL for task in found) == 20
    assert all(combo["expected_best"] is None for combo in as_object(read_status(sweep_runs, 1))["combos"])
    for combo, seen in plan.seen.items():  # what was recorded gives the point again
        values = {t.trial: run.value for t, run in found.items() if t.role == TRIAL and t.combo == combo}
        known = [(plan.points[combo][n], values[n]) for n in seen[0]]
        assert bayes.propose(plan.spaces[combo], known, 8) == plan.points[combo][8]


def test_without_optuna_bayes_is_refused_and_quasi_works(
    hands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'handreid\[tune\]'"):
        planned(hands, tmp_path, "ce", method="bayes")
    assert planned(hands, tmp_path, "ce").trials == 4
    assert bayes.importances(SPACE, results(96)) is None


def test_epochs_are_never_varied_with_pruning(hands: Path, tmp_path: Path) -> None:
    request = asked(hands, "ce", prune=True, over=["train.epochs=2..6:1"])
    with pytest.raises(UserError, match=r"train\.epochs cannot be varied"):
        actions.prepare(request, tmp_path, lambda text: None)


def trial(folder: Path, number: int, status: str, values: list[float], combo: str = "ce") -> SweepRun:
    path = folder / f"{number:04}-{combo}"
    path.mkdir(parents=True)
    append(path, {"kind": "started", "resumed_from": None})
    for epoch, value in enumerate(values, 1):
        append(path, {"kind": "evaluation", "stage": "validation", "step": epoch, "epoch": epoch, "mAP": value})
    return SweepRun(
        TrialTask(TRIAL, combo, number, 0, 1000), path, status, values[-1] if status == "finished" else None
    )


def test_a_trial_below_the_median_of_its_own_combination_is_stopped(tmp_path: Path) -> None:
    complete = [trial(tmp_path, n, "finished", [0.1 * n] * 4) for n in range(8)]
    others = [trial(tmp_path, 20 + n, "finished", [0.9] * 4, "ce_triplet") for n in range(8)]
    slow = trial(tmp_path, 10, "running", [0.0, 0.2])
    good = trial(tmp_path, 11, "running", [0.6, 0.1])  # its best so far counts
    early = trial(tmp_path, 12, "running", [0.0])
    runs = [*complete, *others, slow, good, early]
    ((stopped, reason),) = behind(runs, ValidationCurves(), epochs=4)
    assert stopped == slow
    assert {key: reason[key] for key in ("epoch", "value", "count")} == {"epoch": 2, "value": 0.2, "count": 8}
    assert reason["median"] == pytest.approx(0.35)
    assert not behind([*complete[1:], *others, slow], ValidationCurves(), epochs=4)  # seven are too few


@pytest.mark.long
def test_pruned_trials_stay_stopped_and_the_sweep_finishes(
    hands: Path, sweep_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRETEND_EPOCHS", "10")
    monkeypatch.setenv("PRETEND_PAUSE", "0.3")
    made = planned(hands, sweep_runs, "ce", prune=True, trials=16, shortlist=1, confirm=1)
    actions.start(made, sweep_runs)
    until(lambda: read_status(sweep_runs, 1).phase == "finished", 400)
    found = Reader(sweep_runs, 1).read().values()
    pruned = [run for run in found if (run.path / run_files.PRUNED).exists()]
    assert pruned
    assert all(run.status == "stopped" for run in pruned)
