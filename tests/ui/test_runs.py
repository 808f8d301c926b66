"""The page of runs: which runs an action means, what it asks first, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from handreid_tui.runs.meta import Meta
from handreid_tui.settings import Places
from handreid_tui.ui.dialogs import Confirm, Prompt
from handreid_tui.ui.table import RowTable
from tests.support.run_files import Trainer, make_run, wait_in_queue
from tests.support.tui_tools import opened, shows, text_of, until, write_history


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return write_history(tmp_path)


async def test_an_action_names_the_runs_that_it_means(places):
    async with opened(places, "runs") as (app, pilot):
        await pilot.press("space", "space", "d")
        await shows(pilot, "Delete 2 runs (8 ce_arcface s8, 7 ce_triplet s7) with")
        await pilot.press("escape", *["space"] * 6, "d")
        await shows(pilot, "Delete 8 runs (8 ce_arcface s8, 7 ce_triplet s7, ", "and 3 more)")
        await pilot.press("escape", "escape", "t")
        await shows(pilot, "Tags of run 1 ce s0")
        assert len(app.snapshot.runs) == 8


async def test_marks_that_the_filter_hides_take_no_part(places):
    async with opened(places, "runs") as (app, pilot):
        await pilot.press("space", "space", "slash", *"seed:1", "enter")
        await shows(pilot, "2 marked, 2 of them hidden · 3 of 8")
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        current = app.screen_stack[0].query_one(RowTable).current
        await shows(pilot, f"Delete run {current} ")
        await pilot.press("y")
        await until(pilot, lambda: set(app.snapshot.runs) == set(range(1, 9)) - {current})


async def test_enter_on_notes_that_differ_changes_none_of_them(places):
    async with opened(places, "runs") as (app, pilot):
        first, second = (app.snapshot.runs[number].path for number in (8, 7))
        await pilot.press("space", "space", "n")
        await until(pilot, lambda: isinstance(app.screen, Prompt))
        await shows(pilot, "the notes differ")
        await pilot.press("enter")
        await pilot.pause(0.3)
        assert Meta.read(first).note == "once more with margin 0.5"
        assert not Meta.read(second).note
        await pilot.press("n", *"both", "enter")
        await until(pilot, lambda: {Meta.read(path).note for path in (first, second)} == {"both"})


async def test_a_stop_says_that_a_waiting_run_only_leaves_the_queue(tmp_path):
    places = Places(tmp_path / "runs.db", tmp_path / "runs")
    Trainer(make_run(places.runs, "ce", 0)).start().steps(0, 5)
    wait_in_queue(make_run(places.runs, "ce_triplet", 1))
    async with opened(places, "runs") as (app, pilot):
        await until(pilot, lambda: {run.status for run in app.snapshot.runs.values()} == {"running", "queued"})
        await pilot.press("s")
        await shows(pilot, "Stop run 2 ce_triplet s1? It is removed from the queue")
        assert "writes a checkpoint" not in text_of(app)
        await pilot.press("escape", "j", "s")
        await shows(pilot, "Stop run 1 ce s0? It finishes the current step")
        await pilot.press("escape", "space", "k", "space", "s")
        await shows(pilot, "Each running one", "is removed from the queue")


async def test_many_runs_are_marked_at_once_and_a_click_on_the_mark_marks(places):
    async with opened(places, "runs") as (app, pilot):
        table = app.screen.query_one(RowTable)
        await pilot.press("slash", *"seed:1", "enter", "ctrl+a")
        await shows(pilot, "3 marked · 3 of 8")
        await pilot.press("escape", "asterisk")
        await shows(pilot, "5 marked · 8")
        await pilot.press("ctrl+a", "ctrl+a")
        await until(pilot, lambda: "marked" not in str(table.border_subtitle))
        await pilot.press("g", "space", "j", "V")
        await shows(pilot, "3 marked · 8")
        screen: Any = app.screen
        assert {run.number for run in screen.selected()} == {8, 7, 6}
        await pilot.click(RowTable, offset=(2, 2))
        await shows(pilot, "2 marked · 8")
        assert {run.number for run in screen.selected()} == {7, 6}


async def test_folders_that_hold_a_run_and_are_not_listed_are_named(tmp_path):
    history = write_history(tmp_path, seeds=1)
    (history.runs / "0002-ce_triplet").rename(history.runs / "my best run")
    async with opened(history, "runs", (100, 30)) as (_, pilot):
        said = "my best run contains a run, but its name is not like 0012-ce"
        await until(pilot, lambda: said in " ".join(text_of(pilot.app).split()))
        (history.runs / "my best run").rename(history.runs / "0002-ce_triplet")
        await until(pilot, lambda: "but its name" not in text_of(pilot.app))
