"""Several managers on one history, and managers that are killed: nothing lost, nothing doubled, nobody locked out."""

from __future__ import annotations

import multiprocessing
import random
import sqlite3
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pytest

from handreid_tui.history import RunRow, add_tag, ingest, list_runs, open_history, summary
from tests.history.test_ingest import dump, summaries_from_points
from tests.support.run_files import Trainer, finish, make_run


@pytest.fixture(scope="module")
def processes() -> multiprocessing.context.ForkServerContext:
    """Fresh processes that need not import everything again."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["handreid_tui.history"])
    return context


def manage(db: Path, runs: Path, name: str, stop: Path) -> tuple[int, int]:
    """Ingest, list and tag until there is a file `stop`; returns how many events it added, and its tags."""
    history, events, tags, last = open_history(db), 0, 0, False
    while not last:
        last = stop.exists()
        events += ingest(history, runs).events
        list_runs(history)
        if random.random() < 0.1:
            add_tag(history, random.randint(1, 4), f"{name}-{tags}")
            tags += 1
    history.dispose()
    return events, tags


def test_eight_managers_ingest_growing_runs_at_once(tmp_path: Path, processes) -> None:
    db, runs, stop = tmp_path / "runs.db", tmp_path / "runs", tmp_path / "stop"
    trainers = [Trainer(make_run(runs, seed=seed)).start() for seed in range(4)]
    steps, written = [0] * 4, 4
    with ProcessPoolExecutor(8, mp_context=processes) as pool:
        managers = [pool.submit(manage, db, runs, str(name), stop) for name in range(8)]
        end = time.monotonic() + 4
        while time.monotonic() < end:
            for index, trainer in enumerate(trainers):
                count = random.randrange(1, 20)
                trainer.steps(steps[index], steps[index] + count)
                steps[index] += count
                written += count
            time.sleep(0.01)
        stop.touch()
        added = [manager.result(timeout=60) for manager in managers]
    history = open_history(db)
    assert ingest(history, runs).events == 0
    assert sum(events for events, _ in added) <= written  # none read twice; some came in with a tag
    assert [summary(history, number)["total"].n for number in (1, 2, 3, 4)] == steps
    assert dump(history)["summary"] == summaries_from_points(history)
    assert sum(len(row.tags) for row in list_runs(history)) == sum(tags for _, tags in added)
    history.dispose()


def test_processes_that_open_a_new_history_at_once_all_succeed(tmp_path: Path, processes) -> None:
    with ProcessPoolExecutor(8, mp_context=processes) as pool:
        for attempt in range(5):
            opened = [pool.submit(open_and_list, tmp_path / f"{attempt}.db") for _ in range(16)]
            assert [opener.result(timeout=60) for opener in opened] == [[]] * 16


def test_killed_managers_leave_a_whole_history_that_the_next_completes(tmp_path: Path, processes) -> None:
    db, runs = tmp_path / "runs.db", tmp_path / "runs"
    for seed in range(12):
        finish(make_run(runs, seed=seed), steps=100)
    reference = open_history(tmp_path / "reference.db")
    ingest(reference, runs)
    found = []
    while not found or found[-1] < 12:
        ready = processes.Event()
        process = processes.Process(target=ingest_once, args=(db, runs, ready))
        process.start()
        assert ready.wait(60)
        process.join(0.01 * (1 + len(found)))  # longer each time, so that it comes to an end
        process.kill()
        process.join()
        with sqlite3.connect(db) as raw:
            assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        history = open_history(db)
        assert dump(history)["summary"] == summaries_from_points(history)
        found.append(len(list_runs(history)))
        history.dispose()
    assert found == sorted(found)  # a kill takes nothing away
    assert any(0 < count < 12 for count in found)
    history = open_history(db)
    ingest(history, runs)
    assert dump(history) == dump(reference)
    history.dispose()
    reference.dispose()


def open_and_list(db: Path) -> list[RunRow]:
    history = open_history(db)
    try:
        return list_runs(history)
    finally:
        history.dispose()


def ingest_once(db: Path, runs: Path, ready: Event) -> None:
    history = open_history(db)
    module: Any = sys.modules[ingest.__module__]
    module.CHUNK = 4096  # several transactions a run
    ready.set()
    ingest(history, runs)
