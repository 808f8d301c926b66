"""What a user does by keyboard alone: launch, watch, stop, resume, sort, filter, tag, compare, look at failures."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from engine.contract.config import resolve
from handreid_tui.runs import directory
from handreid_tui.runs.meta import Meta
from handreid_tui.settings import Places
from handreid_tui.ui.chart.widget import Chart
from handreid_tui.ui.dialogs import Confirm, Prompt
from handreid_tui.ui.screens.launch.check_form import FormCheck, FormInput
from handreid_tui.ui.screens.launch.form import ENTRIES, Form
from handreid_tui.ui.screens.live.run_list import RunList
from handreid_tui.ui.table import RowTable
from tests.support.launch_tools import pretending
from tests.support.run_files import finish
from tests.support.slurm_commands import Slurm
from tests.support.tui_tools import TRAINER, opened, shows, text_of, until, write_history


def states(app):
    return {number: run.status for number, run in app.snapshot.runs.items()}


async def test_choose_two_combinations_launch_watch_stop_and_resume(tmp_path, hands):
    with pretending(tmp_path) as runs:
        (tmp_path / "trainer.py").write_text(TRAINER)
        places = Places(tmp_path / "runs.db", runs)
        async with opened(places) as (app, pilot):
            await pilot.press("j", "space", "j", "space", "f", *str(hands), "tab", "tab", "tab", *"handreid-tiny")
            await pilot.press(*["tab"] * 3, *"2x2")
            await shows(pilot, "2 runs", "dorsal-right", "Launch 2 runs", seconds=150)
            await pilot.press("ctrl+r")
            await until(pilot, lambda: app.current_mode == "live")
            await until(pilot, lambda: "running" in states(app).values())
            chart = app.screen.query_one("#loss", Chart)
            await until(pilot, lambda: chart.lines and len(chart.lines[0].x) > 2)
            seen = len(chart.lines[0].x)
            await until(pilot, lambda: len(chart.lines[0].x) > seen)
            assert [line.name for line in chart.lines] == ["total", "ce"]
            await shows(pilot, "the trainer says hello")
            await pilot.press("s")
            await until(pilot, lambda: isinstance(app.screen, Confirm))
            await pilot.press("y")
            await until(pilot, lambda: states(app)[1] == "stopped")
            await until(pilot, lambda: app.screen.query_one(RunList).current == 1)
            await pilot.press("r")
            await until(pilot, lambda: states(app) == {1: "finished", 2: "finished"}, 40)
            await shows(pilot, "rank-1 87.5")
        configs = [json.loads((path / "config.json").read_text()) for path in directory.list_runs(runs)]
        assert [config["combo"] for config in configs] == ["ce", "ce_triplet"]
        assert all(config["train"]["ids_per_batch"] == 2 for config in configs)


async def test_a_launch_again_asks_about_a_run_that_exists_and_values_out_of_range(tmp_path, hands):
    with pretending(tmp_path) as runs:
        settings = {"model.name": "handreid-tiny", "loss.triplet.margin": 0.5, "data.source": str(hands)}
        config = resolve("ce_triplet", 0, **settings | {"train.ids_per_batch": 2, "data.subset": "dorsal-right"})
        finish(directory.create(runs, config))
        async with opened(Places(tmp_path / "runs.db", runs), "runs") as (app, pilot):
            await pilot.press("L")
            await until(pilot, lambda: app.current_mode == "launch")
            await shows(pilot, "ce_triplet (edited)", "Launch 1 run")
            fields = app.screen.query_one(Form).fields
            assert (fields["seeds"].text, fields["batch"].text, fields["lr"].text) == ("1", "2x4", "0.001")
            assert fields["seeds"].input.has_focus
            await pilot.press("backspace", "0", "ctrl+r")  # not judged yet: launched as soon as it is
            await shows(pilot, "1 of 1 already exist with these settings and seeds: run 1.")
            await pilot.press("escape")
            fields["lr"].input.value = "5"
            await pilot.press("backspace", "3")
            await shows(pilot, "Launch 1 run")
            await pilot.press("ctrl+r")
            await shows(pilot, "The learning rate is 5. Launch anyway?")
            await pilot.press("enter")
            await until(pilot, lambda: not isinstance(app.screen, Confirm))
        assert len(directory.list_runs(runs)) == 1


async def test_keys_do_not_wait_for_the_judgement_of_a_field(tmp_path, monkeypatch):
    judging = threading.Event()

    def slow(typed: FormInput) -> FormCheck:
        judging.set()
        time.sleep(1.0)
        return FormCheck({entry.id: "" for entry in ENTRIES})

    monkeypatch.setattr("handreid_tui.ui.screens.launch.screen.check_form", slow)
    async with opened(Places(tmp_path / "runs.db", tmp_path / "runs")) as (app, pilot):
        await until(pilot, judging.is_set)
        fields = app.screen.query_one(Form).fields
        fields["batch"].input.focus()
        await pilot.press(*"8x2", "tab", *"5e-4", "tab", *"0,1")
        assert [fields[name].text for name in ("batch", "lr", "seeds")] == ["8x2", "5e-4", "0,1"]


async def test_slurm_as_the_device_queues_there_and_says_why_a_run_waits(tmp_path, hands, monkeypatch):
    slurm = Slurm(tmp_path / "bin")
    slurm.squeue("41|0|PENDING|Resources")
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", "/nowhere")
    with pretending(tmp_path) as runs:
        async with opened(Places(tmp_path / "runs.db", runs)) as (app, pilot):
            await pilot.press("j", "space", "f", *str(hands), "tab", "tab", "tab", *"handreid-tiny")
            await pilot.press(*["tab"] * 6, *"slurm")
            await shows(pilot, "! Device", "login node")
            monkeypatch.setenv("PATH", f"{slurm.folder}:{path}")
            await pilot.press("backspace", "m")
            await shows(pilot, "Launch 1 run")
            await pilot.press("ctrl+r")
            await until(pilot, lambda: states(app) == {1: "queued"})
            await pilot.press("1")
            await shows(pilot, "Slurm: Resources")
        assert len(slurm.calls("sbatch")) == 1


async def test_a_wrong_value_is_marked_in_its_field_and_nothing_is_launched(tmp_path):
    places = Places(tmp_path / "runs.db", tmp_path / "runs")
    async with opened(places) as (app, pilot):
        await pilot.press("space", "f", *["tab"] * 5, *"many")
        await shows(pilot, "! Epochs", "train.epochs 'many'")
        await pilot.press("ctrl+r")
        await pilot.pause(0.3)
        assert app.current_mode == "launch"
        assert not directory.list_runs(places.runs)
        await pilot.press(*["backspace"] * 4)
        await until(pilot, lambda: "! Epochs" not in text_of(app))


async def test_a_folder_that_is_not_there_is_said_before_the_launch(tmp_path):
    async with opened(Places(tmp_path / "runs.db", tmp_path / "runs")) as (app, pilot):
        await pilot.press("j", "space", "f", *"/nowhere")
        await shows(pilot, "! ", "/nowhere")
        await pilot.press("ctrl+r")
        await pilot.pause(0.5)
        assert app.current_mode == "launch"
        assert not directory.list_runs(tmp_path / "runs")


async def test_weights_and_margins_of_a_combination_can_be_edited(tmp_path):
    async with opened(Places(tmp_path / "runs.db", tmp_path / "runs")) as (_, pilot):
        await pilot.press("j", "j", "e")
        await shows(pilot, "Triplet margin")
        await pilot.press("tab", "tab", "tab", *["backspace"] * 3, *"-1")
        await shows(pilot, "must be positive")
        await pilot.press("backspace", "backspace", *"0.7", "enter")
        await shows(pilot, "ce_triplet (edited)", "margin 0.7")


async def test_a_combination_of_ones_own_is_checked_while_typed(tmp_path):
    async with opened(Places(tmp_path / "runs.db", tmp_path / "runs")) as (_, pilot):
        await pilot.press("plus", *"+tripel")
        await shows(pilot, "Did you mean 'triplet'")
        await pilot.press(*["backspace"] * 6, *"cosface", "enter")
        await shows(pilot, "ce+triplet:0.5+cosface", "1 run")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return write_history(tmp_path)


async def test_sort_filter_and_open_a_run(places):
    async with opened(places, "runs") as (app, pilot):
        table = app.screen.query_one(RowTable)
        assert table.keys == [8, 7, 6, 5, 4, 3, 2, 1]
        await pilot.press("slash", *"combo:ce*", "enter")
        await pilot.press("slash", *" rank1>0", "enter", "right", "right", "right", "right")
        await until(pilot, lambda: "rank-1▼" in text_of(app))
        rates = [app.snapshot.runs[number].metrics["rank1"] for number in table.keys]
        assert rates == sorted(rates, reverse=True)
        assert len(rates) == 6
        await pilot.press("R", "g")
        await until(pilot, lambda: app.snapshot.runs[table.keys[0]].metrics["rank1"] == min(rates))
        await pilot.press("slash", *"oops:1")
        await shows(pilot, "A run has no")
        await pilot.press("escape", "escape")
        await until(pilot, lambda: len(table.keys) == 8)
        await pilot.press("g", "enter")
        await until(pilot, lambda: app.current_mode == "live")
        await until(pilot, lambda: app.screen.query_one(RunList).current == table.keys[0])


async def test_a_filter_may_ask_for_any_configuration_key(places):
    async with opened(places, "runs") as (app, pilot):
        table = app.screen.query_one(RowTable)
        await pilot.press("slash", *"loss.triplet.margin=0.3")
        await until(pilot, lambda: sorted(table.keys) == [2, 5, 7])


async def test_tags_notes_names_and_archive_reach_the_run_directory(places):
    async with opened(places, "runs") as (app, pilot):
        path = app.snapshot.runs[8].path
        await pilot.press("t", *"again", "enter")
        await until(pilot, lambda: Meta.read(path).tags == ("again", "paper"))
        await pilot.press("n", *" please", "enter")
        await until(pilot, lambda: Meta.read(path).note == "once more with margin 0.5 please")
        await pilot.press("N", *"my best", "enter")
        await shows(pilot, "my best", "#again #paper")
        await pilot.press("space", "space", "a")
        await until(pilot, lambda: Meta.read(path).archived)
        await until(pilot, lambda: app.screen.query_one(RowTable).keys == [6, 5, 4, 3, 2, 1])
        await pilot.press("A")
        await until(pilot, lambda: len(app.screen.query_one(RowTable).keys) == 8)


async def test_deleting_asks_first(places):
    async with opened(places, "runs") as (app, pilot):
        path = app.snapshot.runs[8].path
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("enter")  # the focus is on Cancel
        await until(pilot, lambda: not isinstance(app.screen, Confirm))
        assert path.exists()
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: 8 not in app.snapshot.runs)
        assert not path.exists()
        await pilot.press("U")
        await until(pilot, lambda: 8 in app.snapshot.runs)
        assert app.snapshot.runs[8].tags == ("paper",)


async def test_compare_all_then_the_marked_runs_and_save_the_table(places):
    async with opened(places, "compare") as (app, pilot):
        await shows(pilot, "Differences to ce", "ce_arcface", "seeds")
        await until(pilot, lambda: len(app.screen.query_one(Chart).lines) == 3)
        await pilot.press("B")
        await shows(pilot, "baseline ce_triplet", "Differences to ce_triplet")
        await pilot.press("3", "j", "j", "space", "space", "c")
        await shows(pilot, "Comparison of marked runs, by run", "6 ce_arcface s1", "5 ce_triplet s1")
        before = app.screen.query_one("Tables").border_subtitle
        await pilot.press("B")
        await until(pilot, lambda: "baseline" in app.screen.query_one("Tables").border_subtitle != before)
        assert any(f"Differences to {n} ce" in text_of(app) for n in (5, 6))
        file = places.db.parent / "table.tex"
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, Prompt))
        await pilot.press("ctrl+u", *str(file.with_suffix(".doc")))
        await shows(pilot, "end in one of")
        await pilot.press("ctrl+u", *str(file), "enter")
        await until(pilot, lambda: file.exists() and "\\toprule" in file.read_text())
        file.write_text("mine")
        for number in (2, 3):
            await pilot.press("x", "ctrl+u", *str(file), "enter")
            await until(pilot, file.with_stem(f"table-{number}").exists)
        assert file.read_text() == "mine"


async def test_runs_overlay_in_live_and_cursor_and_zoom_go_together(places):
    async with opened(places, "live") as (app, pilot):
        charts = {chart.id: chart for chart in app.screen.query(Chart)}
        await pilot.press("j", "space", "j", "space")
        await until(pilot, lambda: len(charts["loss"].lines) == 2)
        assert len({line.marker for line in charts["loss"].lines}) == 2
        await pilot.press("tab", "right", "plus", "plus")
        looks = [chart.look for chart in charts.values()]
        assert len({(look.cursor, look.window) for look in looks}) == 1
        assert looks[0].window and looks[0].window[1] - looks[0].window[0] < 20
        await pilot.press("right_square_bracket", "L")
        assert charts["validation"].look.smoothing > 0
        assert not charts["loss"].look.log
        await pilot.press("0", "m")
        await until(pilot, lambda: "(2/" in str(charts["loss"].border_subtitle))
        await pilot.press("x")
        await until(pilot, lambda: charts["speed"].look.x_name == "epoch" and charts["loss"].lines[0].x[-1] <= 4.0)
        await pilot.press("x")
        await until(pilot, lambda: charts["loss"].look.x_name == "time")
        await pilot.press("z")
        assert app.screen.maximized is charts["loss"]
        await pilot.press("escape", "escape")
        assert app.screen.maximized is None


async def test_the_mouse_zooms_pans_and_reads_out(places):
    async with opened(places, "live") as (app, pilot):
        chart = app.screen.query_one("#loss", Chart)
        await until(pilot, lambda: chart.lines)
        await pilot.hover("#loss", offset=(30, 6))
        await until(pilot, lambda: chart.look.cursor is not None)
        await shows(pilot, "step ")
        chart.action_zoom(0.5)
        before = chart.look.window
        await pilot.mouse_down("#loss", offset=(30, 6))
        await pilot.hover("#loss", offset=(24, 6))
        await pilot.mouse_up("#loss", offset=(24, 6))
        assert chart.look.window != before


async def test_retrieval_shows_failures_first_and_goes_on(places):
    async with opened(places, "retrieval") as (app, pilot):
        await pilot.press("r", "r")
        await shows(pilot, "run 4 ce s1", "failures first", "✗ 1")
        screen: Any = app.screen
        first = screen._answer
        assert first.rank > 1
        assert not first.gallery[0].match
        assert [shot.score for shot in first.gallery] == sorted((s.score for s in first.gallery), reverse=True)
        await pilot.press("n")
        await shows(pilot, "query 2 of")
        assert screen._answer.rank <= first.rank
        await pilot.press("slash", *first.query.identity, "enter")
        await until(pilot, lambda: screen._answer.query.identity == first.query.identity)
        await pilot.press("t")
        await shows(pilot, "trial 2 of 3")
        await pilot.press("slash", *"xyz", "enter")
        await shows(pilot, "esc shows all")
        await pilot.press("escape")
        await shows(pilot, "query 1 of")


async def test_pictures_that_are_gone_are_said_and_not_raised(places):
    for picture in (places.db.parent / "images").rglob("*.jpg"):
        picture.write_bytes(b"not a picture")
    async with opened(places, "retrieval") as (_, pilot):
        await shows(pilot, "not readable")
