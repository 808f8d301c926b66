"""Eight processes hammer one run history: launch, ingest, query, tag; no error, and every event there once.

python benchmarks/hammer.py [--seconds 60]
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sqlite3
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from engine.contract import run_files
from engine.contract.config import resolve
from engine.contract.events import EventWriter, TrainingStep
from handreid_tui.history import add_tag, curve, ingest, list_runs, open_history
from handreid_tui.runs import directory

PROCESSES = 8


def hammer(place: Path, name: int, seconds: float) -> dict[str, int]:
    """Make runs, write their events, take everybody's in, ask and tag, until the time is over."""
    chance = random.Random(name)
    history, runs = open_history(place / "runs.db"), place / "runs"
    done = dict.fromkeys(("runs", "events written", "events ingested", "queries", "tags"), 0)
    writers: list[tuple[EventWriter, list[int]]] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if len(writers) < 3 and chance.random() < 0.2:
            run = directory.create(runs, resolve("ce", len(writers)))
            writers.append((EventWriter(run / run_files.EVENTS), [0]))
            done["runs"] += 1
        for writer, step in writers:
            for _ in range(chance.randrange(20)):
                writer.write(TrainingStep(step=step[0], epoch=1, total=1.0 / (step[0] + 1), terms={"ce": 1.0}, lr=1e-3))
                step[0] += 1
                done["events written"] += 1
        done["events ingested"] += ingest(history, runs).events
        rows = list_runs(history)
        if rows:
            curve(history, chance.choice(rows).number, "total", buckets=100)
            if chance.random() < 0.1:
                add_tag(history, chance.choice(rows).number, f"by-{name}")
                done["tags"] += 1
        done["queries"] += 2
    history.dispose()
    return done


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=60.0)
    seconds = arguments.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        open_history(place / "runs.db").dispose()
        with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as pool:
            results = [pool.submit(hammer, place, name, seconds) for name in range(PROCESSES)]
            totals = {key: sum(result.result()[key] for result in results) for key in results[0].result()}
        history = open_history(place / "runs.db")
        ingest(history, place / "runs")
        with sqlite3.connect(place / "runs.db") as database:
            (points,) = database.execute(
                "SELECT count(*) FROM metric JOIN metric_key ON metric_key.id = metric.key WHERE name = 'total'"
            ).fetchone()
            (counted,) = database.execute(
                "SELECT sum(n) FROM summary JOIN metric_key ON metric_key.id = summary.key WHERE name = 'total'"
            ).fetchone()  # the summary adds up as events come in: one taken in twice would count twice
            (sound,) = database.execute("PRAGMA integrity_check").fetchone()
        for key, value in totals.items():
            print(f"{key:<16} {value:>9,}  {value / seconds:>9,.0f}/s")
        written = totals["events written"]
        print(f"{points:,} points and {counted:,} counted of {written:,}; integrity {sound}; no process failed")
        if points != written or counted != written:
            sys.exit("events were lost or doubled")


if __name__ == "__main__":
    main()
