"""The page Launch: the combinations, what they reached, the settings and the queue."""

from __future__ import annotations

from pathlib import Path

import pytest

from handreid_tui.app import HandreidApp
from handreid_tui.places import Places
from handreid_tui.screens.launch.combo_table import ComboTable
from tests.tui_tools import shows, text_of, until


@pytest.fixture
def nothing(tmp_path: Path) -> Places:
    return Places(tmp_path / "runs.db", tmp_path / "runs")


async def test_edited_terms_are_there_again_after_a_restart(nothing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "handreid.toml").write_text("[combos.mine]\nce = 1.0\ntriplet = 0.5\n")
    state = tmp_path / "ui.json"
    async with HandreidApp(nothing, state).run_test(size=(100, 30)) as pilot:
        await shows(pilot, "mine")
        await pilot.press("j", "j", "space", "e", "tab", "tab", "tab", *["backspace"] * 3, *"0.7", "enter")
        await shows(pilot, "ce_triplet (edited)", "margin 0.7")
        await pilot.press("j", "j", "j", "space", "e", *["backspace"] * 3, "3", "enter")
        await shows(pilot, "mine (edited)", "weight 3")
    async with HandreidApp(nothing, state).run_test(size=(100, 30)) as pilot:
        await shows(pilot, "✓  ce_triplet (edited)", "✓  mine (edited)", "Launch 2 runs")
        combos = pilot.app.screen.query_one(ComboTable).own
        assert combos["ce_triplet"].options["triplet"]["margin"] == 0.7
        assert combos["mine"].weights == {"ce": 3.0, "triplet": 0.5}
        await pilot.press("j", "j", "d")
        await until(pilot, lambda: "ce_triplet (edited)" not in text_of(pilot.app))
    async with HandreidApp(nothing, state).run_test(size=(100, 30)) as pilot:
        await shows(pilot, "✓  mine (edited)", "Launch 2 runs")
        assert "ce_triplet (edited)" not in text_of(pilot.app)


async def test_a_combination_of_ones_own_says_that_it_was_edited_and_can_be_removed(nothing, tmp_path):
    state = tmp_path / "ui.json"
    async with HandreidApp(nothing, state).run_test(size=(100, 30), notifications=True) as pilot:
        await shows(pilot, "your own")
        await pilot.press("d")
        await shows(pilot, "Only what you added")
        await pilot.press("plus", "enter")
        await shows(pilot, "✓  ce+triplet:0.5", "Launch 1 run")
        await pilot.press("e", "tab", "tab", *["backspace"] * 3, "2", "enter")
        await shows(pilot, "ce+triplet:0.5 (edited)", "weight 2")
        await pilot.press("question_mark")
        await shows(pilot, "Take back an edit, or remove")
        await pilot.press("escape", "d")
        await until(pilot, lambda: "(edited)" not in text_of(pilot.app))
        await shows(pilot, "✓  ce+triplet:0.5", "weight 0.5")
        await pilot.press("d")
        await until(pilot, lambda: "ce+triplet:0.5 " not in text_of(pilot.app))
        await shows(pilot, "Choose combinations with space.")
    async with HandreidApp(nothing, state).run_test(size=(100, 30)) as pilot:
        await shows(pilot, "your own")
        assert not pilot.app.screen.query_one(ComboTable).added
