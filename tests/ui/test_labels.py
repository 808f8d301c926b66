"""What differs between runs is visible on every page, in the same words; columns and filter take any key."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input, SelectionList

from engine.contract.config import resolve
from handreid_tui.runs import directory
from handreid_tui.settings import Places
from handreid_tui.ui.app import HandreidApp
from handreid_tui.ui.chart.widget import Chart
from handreid_tui.ui.choose_many import ChooseMany
from handreid_tui.ui.table import RowTable
from tests.cli.test_run import handreid
from tests.support.planted_runs import clusters, identities, plant
from tests.support.run_files import Trainer
from tests.support.tui_tools import has_loaded, opened, shows, text_of, until

MARGINS = (0.3, 0.5, 0.7)


@pytest.fixture
def margins(tmp_path: Path) -> Places:
    """Three margins of one combination, trained with pictures and curves."""
    identity = identities(count=8, images=4)
    for number, margin in enumerate(MARGINS, 1):
        features = clusters(identity, 1.0, number)
        settings = {"loss.triplet.margin": margin}
        plant(tmp_path / "runs", number, "ce_triplet", features, identity, images=tmp_path / "images", **settings)
    return Places(tmp_path / "runs.db", tmp_path / "runs")


async def test_three_margins_are_told_apart_everywhere(margins):
    labels = [f"ce_triplet m={margin}" for margin in MARGINS]
    async with opened(margins, "runs") as (app, pilot):
        await shows(pilot, *labels)
        await pilot.press("2")
        await shows(pilot, *(f"{label} s0" for label in labels))
        await pilot.press("space", "j", "space")
        chart = app.screen.query_one("#loss", Chart)
        await until(pilot, lambda: len(chart.lines) == 2)
        assert [line.name for line in chart.lines] == ["3 ce_triplet m=0.7 s0", "2 ce_triplet m=0.5 s0"]
        await pilot.press("4")
        await shows(pilot, *labels)
        await pilot.press("5")
        await shows(pilot, "ce_triplet m=0.7")


def test_the_command_line_uses_the_same_words(margins):
    listed = handreid("runs", cwd=margins.db.parent).stdout
    assert all(f"ce_triplet m={margin}" in listed for margin in MARGINS)


async def test_a_name_comes_first_and_only_runs_in_sight_count(margins):
    async with opened(margins, "runs") as (app, pilot):
        await pilot.press("N", *"my best", "enter")
        await shows(pilot, "my best ce_triplet m=0.7")
        await pilot.press("slash", *"margin=0.5", "enter")
        table = app.screen.query_one(RowTable)
        await until(pilot, lambda: table.keys == [2])
        assert "m=0.5 " not in text_of(app).split("Details")[0].replace("margin=0.5", "")


async def test_the_filter_takes_every_stored_metric(margins):
    async with opened(margins, "runs") as (app, pilot):
        table = app.screen.query_one(RowTable)
        for text in ("val/mAP>60", "test_geometry_intra>0", "margin>=0.3", "best_epoch>=3"):
            await pilot.press("slash", "ctrl+u", *text, "enter")
            await until(pilot, lambda: len(table.keys) == 3)
            assert not app.screen.query_one("#reason").has_class("wrong")
        await pilot.press("slash", "ctrl+u", *"margin>0.5", "enter")
        await until(pilot, lambda: table.keys == [3])


async def test_columns_are_chosen_and_remembered(margins):
    state = margins.db.parent / "ui.json"
    async with HandreidApp(margins, state).run_test(size=(160, 40)) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: has_loaded(pilot.app))
        await pilot.press("C")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChooseMany) and pilot.app.screen.query(SelectionList))
        for key in ("triplet.margin", "val/mAP"):
            await pilot.press("slash", "ctrl+u", *key)
            await until(pilot, lambda key=key: pilot.app.screen.query_one(Input).value == key)
            await pilot.press("enter", "space")
        await pilot.press("enter")
        await shows(pilot, " m   val/mAP", "0.7")
    async with HandreidApp(margins, state).run_test(size=(160, 40)) as pilot:
        await shows(pilot, " m   val/mAP", "0.7")


async def test_the_best_epoch_of_a_run_that_has_not_finished_is_shown(tmp_path):
    run = directory.create(tmp_path / "runs", resolve("ce", 0))
    trainer = Trainer(run).start(epochs=4, steps=40).steps(0, 40)
    for step, mAP in ((10, 0.5), (20, 0.75), (30, 0.75), (40, 0.6)):
        trainer.evaluate("validation", step, mAP, mAP)
    trainer.end("stopped")
    async with opened(Places(tmp_path / "runs.db", tmp_path / "runs"), "live") as (_, pilot):
        await shows(pilot, "best epoch 3, val mAP 75.0")
        await pilot.press("3")
        await shows(pilot, "best epoch       3 (val mAP 75.0)", "best val mAP")
    shown = handreid("show", "1", cwd=tmp_path).stdout
    assert "best epoch 3, val mAP 75.0" in shown
