"""Run history: points in and out, runs listed, and what a look at unchanged run directories costs.

python benchmarks/history.py [--points 1000000] [--runs 10000]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.config import resolve
from handreid_tui import rundir
from handreid_tui.history import curve, ingest, ingest_run, list_runs, open_history, rebuild, summary

TERMS = {"ce": 2.5, "triplet": 0.25}
POINTS_A_STEP = 3 + len(TERMS)  # total, lr, images_per_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        points(Path(folder), arguments.points)
    with tempfile.TemporaryDirectory() as folder:
        runs(Path(folder), arguments.runs)


def points(folder: Path, count: int) -> None:
    """One run with `count` points, read at once; then queries of it, and the tail of a growing file."""
    run = rundir.create(folder / "runs", resolve("ce_triplet"))
    steps = count // POINTS_A_STEP
    write_steps(run / "events.jsonl", 0, steps)
    history = open_history(folder / "runs.db")
    seconds, _ = timed(lambda: ingest(history, folder / "runs"), repeat=1)
    added = steps * POINTS_A_STEP
    size = (folder / "runs.db").stat().st_size + (folder / "runs.db-wal").stat().st_size
    print(
        f"ingest {added:,} points: {seconds:.2f} s, {added / seconds:,.0f} points/s, {size / added:.0f} bytes a point"
    )

    tail = steps

    def grow() -> None:
        nonlocal tail
        write_steps(run / "events.jsonl", tail, 10)
        tail += 10
        ingest_run(history, run)

    print(f"ingest of 10 new steps: {milliseconds(grow)}")
    print(f"curve, all {steps:,} points: {milliseconds(lambda: curve(history, 1, 'total'), 5)}")
    print(f"curve, 200 buckets: {milliseconds(lambda: curve(history, 1, 'total', buckets=200), 5)}")
    print(f"curve, its last 5,000 points: {milliseconds(lambda: curve(history, 1, 'total', since=tail - 5001))}")
    print(f"summary of a run: {milliseconds(lambda: summary(history, 1))}")
    history.dispose()
    seconds, _ = timed(lambda: rebuild(folder / "runs.db", folder / "runs"), repeat=1)
    print(f"rebuild: {seconds:.2f} s")


def runs(folder: Path, count: int) -> None:
    """`count` finished runs of two steps each."""
    place, config = folder / "runs", resolve("ce_triplet").model_dump_json()
    for number in range(1, count + 1):
        run = place / f"{number:04d}-ce_triplet"
        run.mkdir(parents=True)
        (run / "config.json").write_text(config)
        (run / "meta.json").write_text(json.dumps({"tags": ["night"], "created": 1.7e9 + number}))
        write_steps(run / "events.jsonl", 0, 2)
        with (run / "events.jsonl").open("a") as file:
            file.write(line("evaluation", step=2, epoch=1, stage="final", rank1=0.9, mAP=0.8))
            file.write(line("ended", status="finished", reason=None, summary={"best_epoch": 1}))
    time.sleep(2.5)  # let the times of the folders settle
    history = open_history(folder / "runs.db")
    seconds, _ = timed(lambda: ingest(history, place), repeat=1)
    print(f"first ingest of {count:,} finished runs: {seconds:.2f} s, {1000 * seconds / count:.2f} ms a run")
    print(f"ingest of {count:,} unchanged runs: {milliseconds(lambda: ingest(history, place), 5)}")
    print(f"list of {count:,} runs: {milliseconds(lambda: list_runs(history), 5)}")
    history.dispose()


def write_steps(path: Path, first: int, count: int) -> None:
    with path.open("a") as file:
        for step in range(first, first + count):
            total = 3 / (1 + step / 1000)
            file.write(line("step", step=step, epoch=1, total=total, terms=TERMS, lr=0.001, images_per_s=612.5))


def line(kind: str, **fields: Any) -> str:
    return json.dumps({"v": 1, "t": 1.7e9, "kind": kind} | fields, separators=(",", ":")) + "\n"


def timed(work: Callable[[], Any], repeat: int) -> tuple[float, Any]:
    """Seconds of the fastest of `repeat` runs, and the result."""
    best, result = float("inf"), None
    for _ in range(repeat):
        started = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - started)
    return best, result


def milliseconds(work: Callable[[], Any], repeat: int = 20) -> str:
    return f"{1000 * timed(work, repeat)[0]:.2f} ms"


if __name__ == "__main__":
    main()
