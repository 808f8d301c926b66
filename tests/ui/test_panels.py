"""What a user arranges: the charts and sizes of Live, the keys, the editor and the pager."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from typing import Any

import pytest
from textual.containers import Grid

from engine.contract.errors import UserError
from handreid_tui.runs.meta import Meta
from handreid_tui.settings import Places
from handreid_tui.ui import keymap
from handreid_tui.ui.app import HandreidApp
from handreid_tui.ui.chart.widget import Chart
from handreid_tui.ui.help import Help
from handreid_tui.ui.key_bar import KeyBar
from handreid_tui.ui.screens.live.log_view import LogView
from handreid_tui.ui.screens.live.panels import loss_panel, panels, usable
from handreid_tui.ui.screens.live.run_list import RunList
from handreid_tui.ui.screens.runs.screen import Runs
from tests.support.tui_tools import has_loaded, opened, shows, until, write_history


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    return write_history(tmp_path_factory.mktemp("panels"), seeds=1)


async def test_charts_are_chosen_by_a_word_and_there_again_after_a_restart(places, tmp_path):
    state = tmp_path / "ui.json"
    async with HandreidApp(places, state).run_test(size=(160, 48)) as pilot:
        await until(pilot, lambda: has_loaded(pilot.app))
        await pilot.press("2")
        await pilot.press(*"jj", "C")
        await shows(pilot, "Charts (none: the usual four)")
        await pilot.press("slash", *"mINP", "enter")
        await pilot.press("escape")
        await pilot.press("C", "slash", *"val/", "enter", "space", "down", "space")
        await pilot.press("slash", *["backspace"] * 4, *"lr", "enter", "space", "enter")
        await until(pilot, lambda: len(pilot.app.screen.query(Chart)) == 3)
        charts = list(pilot.app.screen.query(Chart))
        await until(pilot, lambda: all(chart.lines for chart in charts))
        assert [str(chart.border_title) for chart in charts] == ["mAP, %", "rank-1, %", "learning rate"]
        await pilot.press("w")
        assert pilot.app.screen.query_one(Grid).styles.grid_size_columns == 3
    async with HandreidApp(places, state).run_test(size=(160, 48)) as pilot:
        await until(pilot, lambda: has_loaded(pilot.app))
        await shows(pilot, "learning rate", "rank-1, %")
        assert pilot.app.screen.query_one(Grid).styles.grid_size_columns == 3
        await pilot.press("C")
        await shows(pilot, "the usual four")
        await pilot.press("ctrl+d", "enter")
        await until(pilot, lambda: [chart.id for chart in pilot.app.screen.query(Chart)][:1] == ["loss"])


async def test_sizes_of_live_change_by_keys_and_by_dragging_and_are_remembered(places, tmp_path):
    state = tmp_path / "ui.json"
    async with HandreidApp(places, state).run_test(size=(160, 48)) as pilot:
        await until(pilot, lambda: has_loaded(pilot.app))
        await pilot.press("2")
        runs, log = pilot.app.screen.query_one(RunList), pilot.app.screen.query_one(LogView)
        width, height = runs.outer_size.width, log.outer_size.height
        await pilot.press("greater_than_sign", "right_curly_bracket")
        await until(pilot, lambda: (runs.outer_size.width, log.outer_size.height) == (width + 4, height + 2))
        await pilot.mouse_down(RunList, offset=(width + 3, 5))
        await pilot.hover(None, offset=(60, 9))
        await pilot.mouse_up(None, offset=(60, 9))
        await until(pilot, lambda: runs.outer_size.width == 61)
        await pilot.hover(None, offset=(90, 9))
        assert runs.outer_size.width == 61
    async with HandreidApp(places, state).run_test(size=(160, 48)) as pilot:
        await until(pilot, lambda: has_loaded(pilot.app))
        await until(pilot, lambda: pilot.app.screen.query_one(RunList).outer_size.width == 61)
        assert pilot.app.screen.query_one(LogView).outer_size.height == height + 2
    async with HandreidApp(places, state).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: has_loaded(pilot.app))
        assert pilot.app.screen.query_one(RunList).outer_size.width == 80


async def test_keys_of_the_user_work_and_are_shown(places, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "handreid" / "keymap.toml"
    path.parent.mkdir()
    path.write_text('[runs]\nnote = "ctrl+n"\nmark-all = "M, f2"\n')
    async with opened(places, "runs") as (app, pilot):
        await until(pilot, lambda: app.keymap)
        await pilot.press("n")
        await pilot.press("M")
        await shows(pilot, "5 marked")
        await shows(pilot, "^n Note")
        await pilot.press("question_mark")
        await shows(pilot, "M, f2")
        await pilot.press("escape", "ctrl+n")
        await shows(pilot, "Note on")


async def test_views_that_open_later_have_keys_of_the_user_too(places, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "handreid" / "keymap.toml"
    path.parent.mkdir()
    path.write_text('[case]\nphoto = "P"\n[sweep]\nruns = "R"\n[pair]\nmatch = "T"\n')
    async with opened(places) as (app, pilot):
        await until(pilot, lambda: app.keymap)
        assert app.keymap == {"case.photo": "P", "sweep.runs": "R", "pair.match": "T"}
        assert not app._notifications


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[runs]\nnot = "x"', "no such action: runs.not. Did you mean runs.note?"),
        ('[runs]\nnote = "ctl+x"', "no such key: 'ctl+x' (of runs.note)"),
        ("[runs]\nnote = 5", "runs.note takes keys as text"),
        ('[runs]\nnote = "d"', "'d' is assigned to both runs.note and runs.delete"),
        ('[runs]\nnote = "x"\ntag = "x"', "'x' is assigned to both runs.note and runs.tag"),
        ("[runs", "cannot be read"),
        ('note = "x"', "no such action"),
    ],
)
async def test_a_mistake_in_the_keys_is_said_in_one_sentence(text, said, tmp_path):
    assert Runs.BINDINGS
    path = tmp_path / "keymap.toml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        keymap.read_keymap(path)
    assert said in str(error.value)


def test_the_template_of_the_keys_changes_nothing_and_every_line_of_it_is_valid(tmp_path):
    assert Runs.BINDINGS
    path = tmp_path / "keymap.toml"
    keymap.write_template(path)
    assert keymap.read_keymap(path) == {}
    path.write_text("\n".join(line.removeprefix("# ") if " = " in line else line for line in path.open()))
    found = keymap.read_keymap(path)
    assert found.keys() == keymap.ACTIONS.keys()


async def test_help_lists_each_action_once(places):
    async with opened(places) as (app, pilot):
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, Help))
        help_screen: Any = app.screen
        lines = [line.strip() for line in str(help_screen._text()).splitlines() if line.startswith("  ")]
        assert len(lines) == len(set(lines))
        assert sum("Next row" in line for line in lines) == 1  # of three tables


@pytest.mark.parametrize(("width", "more"), [(80, False), (160, True)])
async def test_the_key_bar_fills_the_width_there_is(width, more, places):
    async with opened(places, "runs", (width, 40)) as (app, _):
        bar = app.screen.query_one(KeyBar)
        text = str(bar.render())
        assert text.rstrip().endswith("q Quit")
        assert ("Mark range" in text) is more
        assert len(text.rstrip()) <= width


async def test_a_note_is_written_in_the_editor(places, tmp_path, monkeypatch):
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho "second thoughts" >> "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    async with opened(places, "runs") as (app, pilot):
        monkeypatch.setattr(app, "suspend", nullcontext)
        await pilot.press("E")
        path = app.snapshot.runs[5].path
        await until(pilot, lambda: Meta.read(path).note.endswith("second thoughts"))


async def test_a_log_is_opened_in_the_pager_and_what_fails_is_said(places, tmp_path, monkeypatch):
    seen = tmp_path / "seen"
    pager = tmp_path / "pager"
    pager.write_text(f'#!/bin/sh\ncp "$1" {seen}\n')
    pager.chmod(0o755)
    monkeypatch.setenv("PAGER", str(pager))
    async with opened(places, "live") as (app, pilot):
        monkeypatch.setattr(app, "suspend", nullcontext)
        await pilot.press("O")
        assert "epoch 2" in seen.read_text()
        monkeypatch.setenv("PAGER", "no-such-pager")
        with monkeypatch.context() as patched:
            said: list[str] = []
            patched.setattr(app.screen, "say", lambda text, **_: said.append(text))
            await pilot.press("O")
            assert said == ["'no-such-pager' cannot be started: set $PAGER to a program."]


async def test_a_screenshot_goes_to_the_working_folder_and_says_where(places, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = HandreidApp(places, tmp_path / "ui.json")
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: has_loaded(app))
        await pilot.press("ctrl+p", *"screenshot", "enter")
        await until(pilot, lambda: list(tmp_path.glob("*.svg")))
        (path,) = tmp_path.glob("*.svg")
        await shows(pilot, "Saved")
        assert path.read_text().startswith("<svg")


def test_what_a_c_library_prints_does_not_reach_the_screen():
    program = """
import os, sys
from handreid_tui.ui.terminal import messages_kept_out
with messages_kept_out():
    os.write(2, b"TIFFReadDirectory: Warning")
    sys.__stderr__.write("drawn ")
sys.__stderr__.write("after")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "drawn after"


def test_the_first_stage_has_views_of_its_own() -> None:
    prompts = {"prompts/total", "prompts/i2t", "prompts/t2i", "prompts/lr"}
    views = [view.name for view in usable(loss_panel(prompts), prompts)]
    assert views == ["first stage: prompts", "first stage: learning rate"]
    both = prompts | {"total", "term/i2t", "lr"}
    first, *_, last = usable(loss_panel(both), both)
    assert (first.name, last.name) == ("total and weighted terms", "first stage: learning rate")
    (panel,) = panels(both, {}, ["prompts/i2t"])
    assert panel.title == "prompts: i2t"
