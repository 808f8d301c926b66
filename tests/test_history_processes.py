"""Several managers on one history, and managers that are killed: nothing lost, nothing doubled, nobody locked out."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from run_files import Trainer, finish, make_run
from test_history_ingest import dump, summaries_from_points

from handreid_tui.history import add_tag, ingest, list_runs, open_history, summary

MANAGER = """
import sys, time
from pathlib import Path
from handreid_tui.history import add_tag, ingest, list_runs, open_history
db, runs, name, end = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], float(sys.argv[4])
history, events, polls = open_history(db), 0, 0
print("ready", flush=True)
while time.time() < end:
    events += ingest(history, runs).events
    list_runs(history)
    polls += 1
    if polls % 10 == 5:
        add_tag(history, 1 + polls % 4, f"{name}-{polls}")
print(events, polls)
"""


def manager(db: Path, runs: Path, name: str, seconds: float) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", MANAGER, db, runs, name, str(time.time() + seconds)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_eight_managers_ingest_growing_runs_at_once(tmp_path: Path) -> None:
    db, runs = tmp_path / "runs.db", tmp_path / "runs"
    trainers = [Trainer(make_run(runs, seed=seed)).start() for seed in range(4)]
    managers = [manager(db, runs, str(name), 6) for name in range(8)]
    for process in managers:
        assert process.stdout and process.stdout.readline() == "ready\n"
    steps, written, end = [0] * 4, 4, time.time() + 3
    while time.time() < end:
        for index, trainer in enumerate(trainers):
            count = random.randrange(1, 20)
            trainer.steps(steps[index], steps[index] + count)
            steps[index] += count
            written += count
        time.sleep(0.01)
    outputs = [process.communicate(timeout=60) for process in managers]
    assert [stderr for _, stderr in outputs] == [""] * 8
    history = open_history(db)
    ingest(history, runs)
    assert [summary(history, number)["total"].n for number in (1, 2, 3, 4)] == steps
    assert dump(history)["summary"] == summaries_from_points(history)
    assert sum(int(stdout.split()[0]) for stdout, _ in outputs) == written  # each event by exactly one of them
    tags = sum(len(range(5, int(stdout.split()[1]) + 1, 10)) for stdout, _ in outputs)
    assert sum(len(row.tags) for row in list_runs(history)) == tags
    history.dispose()


def test_killed_managers_leave_a_whole_history_that_the_next_completes(tmp_path: Path) -> None:
    db, runs = tmp_path / "runs.db", tmp_path / "runs"
    made = [finish(make_run(runs, seed=seed), steps=300) for seed in range(20)]
    reference = open_history(tmp_path / "reference.db")
    ingest(reference, runs)
    generator = random.Random(0)
    partial = 0
    for _ in range(6):
        process = manager(db, runs, "killed", 60)
        assert process.stdout and process.stdout.readline() == "ready\n"
        time.sleep(generator.uniform(0, 0.12))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with sqlite3.connect(db) as raw:
            assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            partial += 0 < raw.execute("SELECT count(*) FROM run").fetchone()[0] < len(made)
        history = open_history(db)
        assert dump(history)["summary"] == summaries_from_points(history)
        history.dispose()
    history = open_history(db)
    ingest(history, runs)
    for row in list_runs(history):
        for tag in row.tags:
            assert tag.startswith("killed")
    for name in ("run", "metric", "summary", "message", "position", "configuration"):
        assert dump(history)[name] == dump(reference)[name]
    add_tag(history, 1, "still writable")
    history.dispose()
    reference.dispose()
