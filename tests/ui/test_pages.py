"""The terminal UI: every page at the usual sizes, and what may go wrong around it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from textual.color import Color

from handreid_tui.history import list_runs, open_history, set_tags
from handreid_tui.settings import Places
from handreid_tui.ui.actions import PAGES
from handreid_tui.ui.app import HandreidApp
from handreid_tui.ui.help import Help
from tests.support.run_files import Trainer, append, make_run
from tests.support.tui_tools import has_loaded, opened, picture_of, shows, text_of, until, write_history

SNAPSHOTS = Path(__file__).parent / "snapshots"
READY = {
    "launch": "handreid-tiny",
    "live": "validation",
    "runs": "ce_arcface",
    "compare": "protocol 1 of 1",
    "retrieval": "trial 1 of 3",
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    return write_history(tmp_path_factory.mktemp("history"))


@pytest.mark.parametrize("theme", ["handreid-dark", "handreid-light"])
@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
@pytest.mark.parametrize("page", PAGES)
async def test_a_page_looks_as_it_did(page, size, theme, places):
    """Run with UPDATE_SNAPSHOTS=1 after a change that is wanted, and look at the difference."""
    async with opened(places, page, size, theme) as (app, pilot):
        if page in ("compare", "retrieval"):
            await shows(pilot, READY[page])
        await pilot.pause(0.5)
        picture = picture_of(app).replace(str(places.runs), "RUNS")
        illegible = _illegible(app)
    file = SNAPSHOTS / f"{page}-{size[0]}x{size[1]}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS") and theme == "handreid-dark":
        file.parent.mkdir(exist_ok=True)
        file.write_text(picture)
    assert picture == file.read_text()
    assert not illegible


def _illegible(app: HandreidApp) -> list[str]:
    """Words on the screen whose contrast to their ground is below 4.5 (WCAG 2.1, 1.4.3)."""
    found = []
    for strip in app.screen._compositor.render_strips():
        for segment in strip:
            style = segment.style
            if style and style.color and style.bgcolor and any(char.isalnum() for char in segment.text):
                front, back = Color.from_rich_color(style.color), Color.from_rich_color(style.bgcolor)
                front = back.blend(front, 0.5) if style.dim else front  # as Textual draws it
                if _contrast(front, back) < 4.5:
                    found.append(f"{segment.text.strip()} {_contrast(front, back):.1f}")
    return found


def _contrast(one: Color, other: Color) -> float:
    def light(color: Color) -> float:
        parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in color.normalized]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_without_any_run_says_what_to_press(page, tmp_path):
    async with opened(Places(tmp_path / "runs.db", tmp_path / "runs"), page, (100, 30)) as (_, pilot):
        await shows(pilot, {"launch": "space"}.get(page, "ress 1" if page != "compare" else "handreid run"))


@pytest.mark.parametrize("size", [(20, 5), (1, 1), (40, 10), (250, 90)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_no_size_of_the_terminal_breaks_a_page(size, places):
    async with opened(places, "launch", (120, 40)) as (_, pilot):
        for key in "12345":
            await pilot.press(key)
            await pilot.resize_terminal(*size)
            await pilot.pause(0.1)
            await pilot.press("question_mark", "escape")
            await pilot.resize_terminal(120, 40)


async def test_a_lone_rate_in_the_list_of_live_is_the_rank_1(places):
    async with opened(places, "live", (100, 30)) as (app, pilot):
        runs = app.snapshot.runs
        app.screen.query_one("RunList").styles.width = 32
        await until(pilot, lambda: f"{100 * runs[6].metrics['mAP']:.1f}" not in text_of(app))
        assert f"{100 * runs[6].metrics['rank1']:.1f}" in text_of(app)


async def test_the_keys_lead_to_every_page_and_help_names_their_keys(places):
    async with opened(places) as (app, pilot):
        for number, (page, (title, _)) in enumerate(PAGES.items(), 1):
            await pilot.press(str(number))
            assert app.current_mode == page
            await pilot.press("question_mark")
            await until(pilot, lambda: isinstance(app.screen, Help))
            help_text = text_of(app)
            assert title in help_text
            assert all(binding.tooltip[:30] in help_text for binding in app._modes[page]().BINDINGS[:2])
            await pilot.press("escape")


async def test_the_palette_knows_every_action_of_the_page(places):
    async with opened(places, "runs") as (_, pilot):
        await pilot.press("ctrl+p")
        await pilot.press(*"archived")
        await shows(pilot, "Show or hide archived runs")
        await pilot.press("enter")
        await pilot.pause(0.2)


async def test_theme_page_sort_and_filter_are_there_again_after_a_restart(places):
    state = places.db.parent / "ui.json"
    state.unlink(missing_ok=True)
    app = HandreidApp(places, state)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("3", "ctrl+t")
        await until(pilot, lambda: app.snapshot.loaded)
        await pilot.press("slash", *"seed:1", "enter", "right", "R")
        theme = app.theme
    again = HandreidApp(places, state)
    async with again.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: again.snapshot.loaded)
        await shows(pilot, "seed:1", "3 of 8", "combination▲")
        assert again.theme == theme == "handreid-light"
        assert again.current_mode == "runs"
    state.unlink()


async def test_a_damaged_state_file_is_no_reason_to_fail(places, tmp_path):
    state = tmp_path / "ui.json"
    here = {"app": {"page": "nowhere"}, "runs": {"sort": [], "marked": {}}, "launch": 3}
    damaged = {"app": {"theme": 3}, "live": [], "histories": {str(places.runs): here, "/elsewhere": None}}
    state.write_text(json.dumps(damaged))
    async with HandreidApp(places, state).run_test() as pilot:
        await shows(pilot, "Combinations")


async def test_what_another_program_writes_is_on_the_screen_soon(tmp_path):
    places = Places(tmp_path / "runs.db", tmp_path / "runs")
    async with opened(places, "live") as (app, pilot):
        run = make_run(places.runs, "ce", 3)
        trainer = Trainer(run).start().steps(0, 5)
        await shows(pilot, "1 ce", "epoch 1/2")
        chart: Any = app.screen.query_one("#loss")
        await until(pilot, lambda: chart.lines and len(chart.lines[0].x) == 5)
        trainer.steps(5, 12)
        await until(pilot, lambda: len(chart.lines[0].x) == 12)
        append(run, b'{"v": 1, "t": 1, "kind": "st')
        (run / "trainer.log").write_text("hello from the log\n")
        append(run, b'ep", "step": 12, "total": 1.0}\n')
        await shows(pilot, "hello from the log")
        trainer.end("failed", {"kind": "nan", "message": "The loss turned NaN."})
        await shows(pilot, "failed", "The loss turned NaN.")


async def test_a_run_directory_may_vanish_while_it_is_on_the_screen(tmp_path):
    places = write_history(tmp_path, seeds=1)
    async with opened(places, "live") as (app, pilot):
        await pilot.press("j", "j", "space")
        shutil.rmtree(places.runs / "0003-ce_arcface")
        await until(pilot, lambda: 3 not in app.snapshot.runs)
        for key in "12345":
            await pilot.press(key)
            await pilot.pause(0.2)
        shutil.rmtree(places.runs)
        await pilot.pause(0.5)
        await pilot.press("4", "3", "2", "1")


async def test_a_database_that_is_none_is_said_and_not_raised(tmp_path):
    places = Places(tmp_path / "runs.db", tmp_path / "runs")
    places.db.write_text("this is a letter, not a database " * 50)
    async with HandreidApp(places, tmp_path / "ui.json").run_test(size=(160, 30)) as pilot:
        await shows(pilot, "not a database")
        twice = {"2": "cannot be read at the moment", "3": "--db", "4": "--db", "5": "--db"}
        for key, text in twice.items():
            await pilot.press(key)
            await until(pilot, lambda text=text: text_of(pilot.app).count(text) > 1)
            assert "Loading" not in text_of(pilot.app)
        await pilot.press("question_mark", "escape")
        places.db.unlink()
        await until(pilot, lambda: has_loaded(pilot.app))
        for key, text in zip("345", ("No runs yet", "no finished run", "No finished run"), strict=True):
            await pilot.press(key)
            await shows(pilot, text)
            assert "not a database" not in text_of(pilot.app)


async def test_a_locked_database_does_not_stop_the_keys(tmp_path):
    places = write_history(tmp_path, seeds=1)
    async with opened(places, "runs") as (app, pilot):
        lock = sqlite3.connect(places.db)
        lock.execute("BEGIN EXCLUSIVE")
        make_run(places.runs, "ce")
        await pilot.pause(0.5)
        await pilot.press("j", "2", "3")
        assert app.current_mode == "runs"
        lock.rollback()
        await until(pilot, lambda: len(app.snapshot.runs) == 6)


async def test_two_managers_on_one_database_agree(tmp_path):
    places = write_history(tmp_path, seeds=1)
    async with opened(places, "runs") as (_, pilot):
        other = open_history(places.db)
        await pilot.press("t", *"mine", "enter")
        await until(pilot, lambda: any("mine" in run.tags for run in list_runs(other)))
        set_tags(other, 1, ["theirs"])
        await shows(pilot, "mine", "theirs")
        other.dispose()


def test_the_first_screen_waits_neither_for_numpy_nor_for_the_database():
    script = "import sys, handreid_tui.ui.app, handreid_tui.ui.screens.launch.screen\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not {"numpy", "sqlmodel", "sqlalchemy", "scipy", "torch", "PIL"} & loaded
    later = {f"handreid_tui.{name}" for name in ("launch.slurm.sync", "launch.queue", "ui.dialogs", "ui.device_usage")}
    assert not later & loaded
