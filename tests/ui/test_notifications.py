"""What is said when runs end while one looks at another page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from handreid_tui.history import RunRow, ingest, list_runs, open_history
from handreid_tui.settings import Places
from handreid_tui.ui.app import HandreidApp
from handreid_tui.ui.notifications import Endings
from tests.support.run_files import Trainer, make_run, wait_in_queue
from tests.support.tui_tools import shows, until


@asynccontextmanager
async def listening(folder: Path, *trainers: Trainer) -> AsyncIterator[tuple[HandreidApp, Pilot[Any]]]:
    """The app on Launch, with what it says in the corner, when it has seen these runs."""
    app = HandreidApp(Places(folder / "runs.db", folder / "runs"), folder / "ui.json")
    async with app.run_test(size=(140, 40), notifications=True) as pilot:
        await until(pilot, lambda: len(app.snapshot.runs) == len(trainers))
        yield app, pilot


def said(app: HandreidApp) -> list[tuple[str, str]]:
    return sorted((word.severity, word.message) for word in app._notifications)


async def test_a_run_that_fails_is_told_with_its_reason(tmp_path):
    going = Trainer(make_run(tmp_path / "runs", "ce", 1)).start().steps(0, 5)
    old = Trainer(make_run(tmp_path / "runs", "ce", 2)).start().end("failed", {"kind": "nan", "message": "Long ago."})
    async with listening(tmp_path, going, old) as (app, pilot):
        going.end("failed", {"kind": "nan", "message": "The loss turned NaN at step 5."})
        await shows(pilot, "Run 1 ce s1 failed: The loss turned")
        assert said(app) == [("error", "Run 1 ce s1 failed: The loss turned NaN at step 5.")]


async def test_runs_that_finish_together_are_told_together(tmp_path):
    going = [Trainer(make_run(tmp_path / "runs", "ce", seed)).start().steps(0, 5) for seed in range(3)]
    async with listening(tmp_path, *going) as (app, pilot):
        for trainer in going[:2]:
            trainer.end()
        await until(pilot, lambda: said(app))
        going[2].evaluate("final", 5, 0.982, 0.97).end()
        await until(pilot, lambda: len(said(app)) == 2)
        assert said(app) == [
            ("information", "2 runs finished: 1 ce s0, 2 ce s1."),
            ("information", "Run 3 ce s2 finished: rank-1 98.2  mAP 97.0"),
        ]


async def test_a_stop_by_the_user_is_no_news(tmp_path):
    wait_in_queue(make_run(tmp_path / "runs", "ce", 0))
    async with listening(tmp_path, None) as (app, pilot):
        await pilot.press("tab", "tab", "s", "y")
        await until(pilot, lambda: app.snapshot.runs[1].status == "stopped")
        await pilot.pause(1.5)
        assert [text for _, text in said(app)] == ["run 1 ce s0: removed from the queue."]
        assert not app.endings.expected


def test_results_that_are_read_after_the_end_of_a_run_are_told(tmp_path):
    trainer = Trainer(make_run(tmp_path / "runs", "ce", 1)).start().steps(0, 5)
    history = open_history(tmp_path / "runs.db")

    def rows() -> dict[int, RunRow]:
        ingest(history, tmp_path / "runs")
        return {row.number: row for row in list_runs(history)}

    going = rows()
    trainer.evaluate("final", 5, 0.982, 0.97).end()
    ended = rows()
    early = {1: replace(ended[1], metrics=going[1].metrics)}
    endings = Endings()
    assert endings.note(going, early, frozenset({1}))
    assert endings.note(early, ended, frozenset({1}))
    assert endings.tell() == [("Run 1 ce s1 finished: rank-1 98.2  mAP 97.0", "information")]
