"""Sweeps on Runs: one line that opens, with each setting against the validation mAP."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
from textual.widgets import Input

from handreid_tui.history import ingest, list_runs, open_history
from handreid_tui.settings import Places
from handreid_tui.sweeps import actions
from handreid_tui.sweeps.plan_file import list_sweeps, read_plan
from handreid_tui.sweeps.status import read_status
from handreid_tui.ui.app import HandreidApp
from handreid_tui.ui.chart.compose import ChartStyle, compose
from handreid_tui.ui.picker import Picker
from handreid_tui.ui.screens.launch.form import Form
from handreid_tui.ui.screens.launch.request import LaunchRequest
from handreid_tui.ui.screens.launch.tune_dialog import TuneDialog
from handreid_tui.ui.screens.runs.sweep_view import Setting, SweepView, read_sweep, scatter
from handreid_tui.ui.table import RowTable
from tests.support.launch_tools import until as wait_until
from tests.support.planted_runs import clusters, identities, plant
from tests.support.sweep_tools import planned, sweep_runs
from tests.support.tui_tools import opened, shows, text_of, until

__all__ = ["sweep_runs"]


def test_the_dots_of_a_scatter_are_not_joined_and_its_axis_reads_in_values():
    points = ((0, 1e-3, 0.9), (1, 1e-5, 0.2), (2, 1e-1, 0.4), (3, 1e-4, 0.8))
    lines, text = scatter(Setting("ce", "train.lr", True, points), chosen=3)
    assert [line.name for line in lines] == ["trials", "recipe", "chosen"]
    assert text(-3.0) == "0.001"
    grid, _ = compose(lines, 60, 12, ChartStyle(x_text=text))
    drawn = "".join(char for row in grid.chars[1:-1] for char in row if not char.isalnum()).replace("┈", "").split()
    assert sorted("".join(drawn).replace(".", "")) == sorted("●●▲■")  # a marker each, no line between them
    words, text = scatter(Setting("ce", "train.ema", False, ((0, "on", 0.5), (1, "off", 0.4))), None)
    assert {text(x) for line in words for x in line.x.tolist()} == {"on", "off"}


@pytest.mark.long
@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_a_sweep_is_one_line_that_opens(size, hands, sweep_runs, tmp_path):
    made = actions.start(
        planned(hands, sweep_runs, "ce", "ce_triplet", launch={"gpus": 1.0, "parallel": 2}), sweep_runs
    )
    identity = identities(count=6, images=2)
    plant(sweep_runs, 900, "ce", clusters(identity, 1.0), identity)
    wait_until(lambda: sum(run.status == "finished" for run in read_status(sweep_runs, 1).found.values()) >= 4, 60)
    actions.stop(sweep_runs, made.number)
    places = Places(tmp_path / "runs.db", sweep_runs)
    history = open_history(places.db)
    ingest(history, sweep_runs)
    trials = [run for run in list_runs(history) if run.sweep]
    async with opened(places, "runs", size) as (app, pilot):
        table: Any = app.screen.query_one(RowTable)
        await until(pilot, lambda: table.keys == [900, -1])
        await shows(pilot, "@1", "sweep of ce")
        await pilot.press("j", "space", "ctrl+a")
        await shows(pilot, "1 marked")
        await pilot.press("escape", "G", "enter")
        await until(pilot, lambda: isinstance(app.screen, SweepView))
        await shows(pilot, "Sweep @1 · stopped", "ce: validation mAP", "recipe", "Trials of ce")
        await pilot.press("m")
        await shows(pilot, "Trials of ce_triplet")
        await pilot.press("f")
        await until(pilot, lambda: set(table.keys) == {run.number for run in trials})
        assert app.screen.query_one("#filter", Input).value == "sweep:1"
        await pilot.press("escape")
        await until(pilot, lambda: table.keys == [900, -1])
        assert "sweep of ce" in text_of(app)
    reading = read_sweep(sweep_runs, 1)
    assert {setting.combo for setting in reading.settings} == {"ce", "ce_triplet"}
    assert all(setting.key == "train.lr" and setting.log for setting in reading.settings)


@pytest.mark.long
async def test_launch_tunes_the_chosen_combinations(hands, sweep_runs, tmp_path):
    async with opened(Places(tmp_path / "runs.db", sweep_runs)) as (app, pilot):
        form = app.screen.query_one(Form)
        for name, text in {"data": str(hands), "model": "handreid-tiny", "batch": "5x4", "device": "cpu"}.items():
            form.fields[name].input.value = text
        await pilot.press("j", "space")
        await shows(pilot, "Launch 1 run", "from scratch")
        await pilot.press("t")
        await shows(pilot, "Tune 1 combination")
        await shows(pilot, "24 trials each over", "Start (enter)")
        await pilot.press(*["backspace"] * 2, "x")
        await shows(pilot, "Trials is a whole number, but got 'x'.", "Check (enter)")
        await pilot.press("backspace", "3", "tab", *"soon")
        await shows(pilot, "Budget is a time such as 90m, 8h or 2d, but got 'soon'.")
        await pilot.press("ctrl+u", "tab", "2", "tab", *"train.lr=1e-4..1e-2:log", "tab", "tab", "right")
        await pilot.press("tab", "space", "tab", "backspace", "1")
        await shows(pilot, "3 trials each over 1 setting, up to 15 trainings in all.", "(•) 4, all held-out people")
        await pilot.press("enter")
        await until(pilot, lambda: list_sweeps(sweep_runs) == [1] and app.current_mode == "launch", 60)
        await until(pilot, lambda: len(read_status(sweep_runs, 1).found) >= 3)
    plan = read_plan(sweep_runs, 1)
    assert (plan.trials, plan.shortlist, plan.confirm) == (3, 1, 3)
    assert (plan.folds, plan.prune, plan.method) == (4, True, "quasi")
    assert plan.bases["ce"].train.epochs == 2
    assert plan.combos == ["ce"] and [one.key for one in plan.spaces["ce"]] == ["train.lr"]


@pytest.mark.parametrize("installed", [True, False])
async def test_the_dialog_offers_bayes_where_optuna_is_and_says_why_where_not(installed, hands, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    found = {"optuna": find("json") if installed else None}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: found[name] if name in found else find(name))
    settings = {"data.source": str(hands), "model.name": "handreid-tiny", "device": "cpu", "train.ids_per_batch": 5}
    order = LaunchRequest(["ce"], [0], settings, {}, [])
    app = HandreidApp(Places(tmp_path / "runs.db", tmp_path / "runs"), tmp_path / "ui.json")
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(TuneDialog(order, tmp_path / "runs", ()))
        await shows(pilot, "24 trials each over")
        await until(pilot, lambda: app.screen.query(Picker))
        method = next(choice for choice in app.screen.query(Picker) if choice.name == "method")
        method.focus()
        await pilot.press("right")
        assert method.value == ("bayes" if installed else "quasi")
        why = "(-) bayes: needs Optuna: pip install 'handreid[tune]'."
        assert str(method.render()) == ("( ) quasi-random  (•) bayes" if installed else f"(•) quasi-random  {why}")
