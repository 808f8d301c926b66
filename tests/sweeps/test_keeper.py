"""A sweep from its start to its end with trainers that pretend: phases, kills, races, pauses, more trials."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from engine.contract import run_files
from engine.contract.errors import UserError
from handreid_tui.runs.directory import list_runs
from handreid_tui.sweeps import actions
from handreid_tui.sweeps.keeper import look_after_sweeps
from handreid_tui.sweeps.plan_file import read_plan
from handreid_tui.sweeps.roles import CONFIRM, SHORTLIST, TRIAL
from handreid_tui.sweeps.status import as_object, read_status
from handreid_tui.sweeps.trials import Reader
from tests.support.launch_tools import processes_of, until
from tests.support.sweep_tools import planned, sweep_runs

__all__ = ["sweep_runs"]
PHASES = {TRIAL: 8, SHORTLIST: 2 * 2 * 3, CONFIRM: 4}


def finished(runs: Path, number: int) -> bool:
    look_after_sweeps(runs)
    return read_status(runs, number).phase == "finished"


def roles(runs: Path, number: int) -> Counter[str]:
    return Counter(run.task.role for run in Reader(runs, number).read().values())


def test_a_sweep_searches_shortlists_and_confirms(hands: Path, sweep_runs: Path) -> None:
    made = actions.start(planned(hands, sweep_runs, "ce", "ce_triplet"), sweep_runs)
    until(lambda: finished(sweep_runs, made.number), 240)
    found = Reader(sweep_runs, made.number).read()
    assert Counter(task.role for task in found) == PHASES
    assert len(list_runs(sweep_runs)) == len(found)
    for run in found.values():
        config = json.loads((run.path / run_files.CONFIG).read_text())
        published = run.task.role == CONFIRM
        assert config["evaluation"]["test"] is published
        assert config["data"]["validation"] == ("images" if published else "identities")
        assert config["data"]["fold"] == (0 if published else run.task.fold)
        assert config["train"]["lr"] == read_plan(sweep_runs, 1).points[run.task.combo][run.task.trial]["train.lr"]
    trials = [run.task for run in found.values() if run.task.role == TRIAL]
    assert [(task.trial, task.combo) for task in trials] == [(t, c) for t in range(4) for c in ("ce", "ce_triplet")]
    assert {task.seed for task in trials}.isdisjoint({task.seed for task in found if task.role == CONFIRM})
    for combo in as_object(read_status(sweep_runs, 1))["combos"]:
        assert combo["chosen"]["trial"] in combo["shortlist"]
        assert len(combo["confirmed"]) == 2
    before = as_object(read_status(sweep_runs, 1))

    with pytest.raises(UserError, match="has 4 trials"):
        actions.extend(sweep_runs, 1, 4)
    points = made.points
    extended = actions.extend(sweep_runs, 1, 6)
    until(lambda: finished(sweep_runs, 1), 240)
    assert {combo: known[:4] for combo, known in extended.points.items()} == points
    assert roles(sweep_runs, 1)[TRIAL] == 12
    after = as_object(read_status(sweep_runs, 1))
    assert [combo["values"][:4] for combo in after["combos"]] == [combo["values"] for combo in before["combos"]]

    freed = actions.remove(sweep_runs, 1)
    assert freed > 0
    assert not list_runs(sweep_runs)
    second = actions.start(planned(hands, sweep_runs, "ce", trials=1, shortlist=1, confirm=1), sweep_runs)
    assert second.number == 2  # a number is never used twice
    actions.stop(sweep_runs, 2)


@pytest.mark.long
def test_killed_anywhere_it_makes_exactly_the_planned_trials(hands: Path, sweep_runs: Path) -> None:
    dice = random.Random(0)
    made = actions.start(planned(hands, sweep_runs, "ce", "ce_triplet"), sweep_runs)
    kills = 0
    end = time.monotonic() + 60
    while not finished(sweep_runs, made.number) and kills < 25 and time.monotonic() < end:
        victims = processes_of(sweep_runs)
        if victims:
            try:
                os.kill(dice.choice(victims), signal.SIGKILL)
                kills += 1
            except ProcessLookupError:
                continue
        time.sleep(dice.uniform(0.05, 0.4))
    status = until(lambda: finished(sweep_runs, made.number) and read_status(sweep_runs, made.number), 240)
    assert kills > 0
    tasks = [json.loads((path / run_files.SWEEP).read_text()) for path in list_runs(sweep_runs)]
    assert len({json.dumps(task, sort_keys=True) for task in tasks}) == len(tasks)
    assert Counter(task["role"] for task in tasks)[TRIAL] == 8
    assert status.phase == "finished"


def test_two_keepers_race_and_one_acts(hands: Path, sweep_runs: Path) -> None:
    made = planned(hands, sweep_runs, "ce")
    actions.start(made, sweep_runs)
    command = [sys.executable, "-P", "-m", "handreid_tui.sweeps.keeper", "--runs", str(sweep_runs), "--sweep", "1"]
    racers = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(4)]
    until(lambda: finished(sweep_runs, 1), 240)
    for racer in racers:
        racer.wait(30)
    assert roles(sweep_runs, 1) == {TRIAL: 4, SHORTLIST: 6, CONFIRM: 2}


def test_stopped_at_any_moment_counts_differ_by_one_at_most_and_resume_completes(
    hands: Path, sweep_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRETEND_PAUSE", "0.2")
    made = planned(hands, sweep_runs, "ce", "ce_triplet", "ce_arcface", launch={"gpus": 1.0, "parallel": 1})
    actions.start(made, sweep_runs)
    until(lambda: any(run.status == "finished" for run in Reader(sweep_runs, 1).read().values()), 120)
    actions.stop(sweep_runs, 1)
    until(lambda: all(run.settled for run in Reader(sweep_runs, 1).read().values()), 60)
    ended = Counter(r.task.combo for r in Reader(sweep_runs, 1).read().values() if r.status == "finished")
    counts = [ended[combo] for combo in made.combos]
    assert max(counts) - min(counts) <= 1
    assert read_status(sweep_runs, 1).phase == "stopped"
    look_after_sweeps(sweep_runs)
    assert roles(sweep_runs, 1) == {TRIAL: 12}
    monkeypatch.setenv("PRETEND_PAUSE", "0")
    assert actions.resume(sweep_runs, 1) > 0
    until(lambda: finished(sweep_runs, 1), 240)
    assert all(run.status == "finished" for run in Reader(sweep_runs, 1).read().values())


def test_equal_failures_pause_with_the_reason_and_a_loss_that_is_not_finite_does_not(
    hands: Path, sweep_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRETEND_FAILURE", "ce_triplet")
    monkeypatch.setenv("PRETEND_KIND", "nan")
    actions.start(planned(hands, sweep_runs, "ce_triplet", trials=4, confirm=1, shortlist=1), sweep_runs)
    until(lambda: read_status(sweep_runs, 1).phase in ("confirm", "finished", "stopped"), 120)
    assert read_status(sweep_runs, 1).values("ce_triplet") == [0.0] * 4

    monkeypatch.setenv("PRETEND_KIND", "error")
    actions.start(planned(hands, sweep_runs, "ce", "ce_triplet"), sweep_runs)
    actions.start(planned(hands, sweep_runs, "ce_triplet"), sweep_runs)
    until(lambda: look_after_sweeps(sweep_runs) or read_plan(sweep_runs, 3).stopped, 120)
    assert "3 runs in a row failed: It cannot do that" in read_plan(sweep_runs, 3).stopped
    until(lambda: finished(sweep_runs, 2), 240)  # ce went on, and ce_triplet has no choice
    chosen = {combo["combo"]: combo["chosen"] for combo in as_object(read_status(sweep_runs, 2))["combos"]}
    assert chosen["ce"]
    assert chosen["ce_triplet"] is None
