"""What the UI remembers: the looks everywhere, the rest for each history, and nothing lost when it ends suddenly."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from handreid_tui.settings import Places
from handreid_tui.ui.app import HandreidApp
from handreid_tui.ui.preferences import HISTORIES, Remembered
from handreid_tui.ui.screens.launch.combo_table import ComboTable
from handreid_tui.ui.table import RowTable
from tests.support.tui_tools import has_loaded, opened, shows, text_of, until, write_history


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "config" / "ui.json"


def on_disk(state: Path, runs: Path, section: str, name: str) -> Any:
    return Remembered(state, runs).get(section, name, None)


async def test_what_was_chosen_and_marked_belongs_to_its_history(tmp_path, state):
    one, other = write_history(tmp_path / "one", seeds=1), write_history(tmp_path / "other", seeds=1)
    async with HandreidApp(one, state).run_test(size=(140, 40)) as pilot:
        await shows(pilot, "ce_arcface")
        await pilot.press("j", "space", "ctrl+t", "3")
        await until(pilot, lambda: has_loaded(pilot.app))
        await pilot.press("slash", *"seed:0", "enter", "space")
        await shows(pilot, "1 marked")
    async with HandreidApp(other, state).run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: has_loaded(pilot.app))
        assert pilot.app.theme == "handreid-light"
        assert not pilot.app.screen.query_one(ComboTable).chosen
        await pilot.press("3")
        await until(pilot, lambda: len(pilot.app.screen.query_one(RowTable).keys) == 5)
        assert "marked" not in text_of(pilot.app)
    async with HandreidApp(one, state).run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: has_loaded(pilot.app))
        await shows(pilot, "1 marked", "seed:0")
        await pilot.press("1")
        assert list(pilot.app.screen.query_one(ComboTable).chosen) == ["ce"]


async def test_a_change_is_saved_while_the_program_goes_on(tmp_path):
    places = write_history(tmp_path, seeds=1)
    async with opened(places, "runs") as (_, pilot):
        (state,) = tmp_path.glob("ui-*.json")
        await pilot.press("space")
        await until(pilot, lambda: on_disk(state, places.runs, "runs", "marked") == [5])
        await pilot.press("escape")
        await until(pilot, lambda: on_disk(state, places.runs, "runs", "marked") == [])


async def test_a_terminal_that_hangs_up_loses_nothing(tmp_path, state, monkeypatch):
    asked = []
    async with HandreidApp(Places(tmp_path / "runs.db", tmp_path / "runs"), state).run_test() as pilot:
        before = signal.getsignal(signal.SIGHUP)
        kill = os.kill
        monkeypatch.setattr(os, "kill", lambda *which: asked.append(which))
        await pilot.press("j", "space")
        kill(os.getpid(), signal.SIGHUP)
        await until(pilot, lambda: asked)
        assert asked == [(os.getpid(), signal.SIGHUP)]
        assert on_disk(state, tmp_path / "runs", "launch", "chosen") == ["ce"]
        assert before is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


def test_two_programs_keep_what_the_other_one_wrote(tmp_path, state):
    one, other = Remembered(state, tmp_path), Remembered(state, tmp_path)
    one.put("runs", "marked", [1])
    other.put("app", "theme", "handreid-light")
    other.put("runs", "sort", "mAP")
    one.write()
    other.write()
    assert on_disk(state, tmp_path, "runs", "marked") == [1]
    assert on_disk(state, tmp_path, "runs", "sort") == "mAP"
    assert on_disk(state, tmp_path / "elsewhere", "app", "theme") == "handreid-light"
    assert not list(state.parent.glob(".*"))


def test_a_folder_that_cannot_be_written_is_tried_again(tmp_path):
    (tmp_path / "file").write_text("")
    remembered = Remembered(tmp_path / "file" / "ui.json", tmp_path)
    remembered.put("runs", "sort", "mAP")
    remembered.write()
    assert remembered.changed
    (tmp_path / "file").unlink()
    remembered.write()
    assert on_disk(tmp_path / "file" / "ui.json", tmp_path, "runs", "sort") == "mAP"


def test_histories_left_alone_for_long_are_forgotten(tmp_path, state):
    for number in range(HISTORIES + 2):
        remembered = Remembered(state, tmp_path / str(number))
        remembered.put("runs", "sort", "mAP")
        remembered.write()
    kept = list(json.loads(state.read_text())["histories"])
    assert kept == [str(tmp_path / str(number)) for number in range(2, HISTORIES + 2)]
