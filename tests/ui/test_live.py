"""The page Live: the cursor reads points that exist, the loss adds up, and a run that was launched is shown."""

from __future__ import annotations

import numpy as np
import pytest

from engine.contract.config import resolve
from handreid_tui.runs import directory
from handreid_tui.settings import Places
from handreid_tui.ui.chart.widget import Chart
from handreid_tui.ui.screens.live.run_list import RunList
from tests.support.events import event
from tests.support.run_files import Trainer, make_run
from tests.support.tui_tools import opened, shows, text_of, until


@pytest.fixture
def places(tmp_path):
    """A run of 100 epochs of one step, validated every ten; the best validation is that of epoch 60."""
    run = directory.create(tmp_path / "runs", resolve("ce_triplet_center", 0))
    trainer = Trainer(run).start(epochs=100, steps=100)
    weight = {"ce": 1.0, "triplet": 1.0, "center": 5e-4}
    for step in range(100):
        terms = {"ce": 2.0 / (step + 1), "triplet": 0.3, "center": 40.0}
        total = sum(weight[term] * value for term, value in terms.items())
        trainer.events.write(event("step", step=step, epoch=step + 1, total=total, terms=terms, lr=1e-3))
    for step in range(10, 101, 10):
        rate = 0.9 - abs(step - 60) / 100
        trainer.evaluate("validation", step, rate, rate)
    trainer.end("stopped")
    return Places(tmp_path / "runs.db", tmp_path / "runs")


async def test_the_cursor_steps_from_point_to_point_and_jumps_to_the_best(places):
    async with opened(places, "live") as (app, pilot):
        chart = app.screen.query_one("#validation", Chart)
        await until(pilot, lambda: chart.lines)
        await pilot.press("x")
        await until(pilot, lambda: chart.look.x_name == "epoch" and chart.lines)
        chart.focus()
        await pilot.press("end")
        await shows(pilot, "epoch 100  ")
        await pilot.press("left")
        await shows(pilot, "epoch 90  ● rank-1 60.0")
        await pilot.press("asterisk")
        await shows(pilot, "epoch 60  ● rank-1 90.0", "best epoch 60, val mAP 90.0")
        await pilot.press("right", "right")
        assert chart.look.cursor == 80
        loss = app.screen.query_one("#loss", Chart)
        loss.focus()
        await pilot.press("right")
        await until(pilot, lambda: loss.look.cursor not in (80, None))
        await shows(pilot, "epoch 80  ● rank-1")  # the validation keeps to its own points


async def test_the_weighted_terms_add_up_to_the_total_and_both_views_say_what_they_are(places):
    async with opened(places, "live") as (app, pilot):
        chart = app.screen.query_one("#loss", Chart)
        await until(pilot, lambda: len(chart.lines) == 4)
        total, *terms = chart.lines
        assert [line.name for line in terms] == ["ce", "center ×5e-4", "triplet"]
        assert np.allclose(total.y, sum(line.y for line in terms))
        await shows(pilot, "weighted terms")
        await pilot.press("m")
        await until(pilot, lambda: len(chart.lines) == 3 and "unweighted terms" in text_of(app))
        assert max(line.y.max() for line in chart.lines) == 40.0


async def test_a_run_that_is_not_in_the_history_yet_is_shown_as_soon_as_it_is(places):
    async with opened(places, "live") as (app, pilot):
        runs = app.screen.query_one(RunList)
        await pilot.press("space")
        app.open_page("live", [2])  # as after a launch: the history holds run 1 alone
        await pilot.pause(0.3)
        assert runs.current == 1
        make_run(places.runs, "ce", 5)
        await until(pilot, lambda: runs.current == 2)
        assert runs.shown == [2] and runs.has_focus
