"""Run history: points in and out, runs listed, what a look at unchanged run directories costs, and comparisons.

    python benchmarks/history.py [--points 1000000] [--runs 10000] [--compared 10000]

`--compared`: finished runs of four combinations in the sizes of 11k dorsal-right with merged gallery (71 identities,
971 queries in each of ten trials), half a megabyte each: 5 GB for 10,000. `handreid runs` and `handreid compare` are
timed as whole processes. 0 leaves a part out; `--folder` takes another place than the usual one for temporary files.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from engine.contract import run_files
from engine.contract.config import resolve
from handreid_tui.history import curve, ingest, ingest_run, list_runs, open_history, rebuild, summary
from handreid_tui.runs import directory

TERMS = {"ce": 2.5, "triplet": 0.25}
POINTS_A_STEP = 3 + len(TERMS)  # total, lr, images_per_s
COMBOS = ("ce", "ce_triplet", "ce_triplet_center", "ce_arcface")
IDENTITIES, QUERIES, GALLERY, TRIALS = 71, 971, 290, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--compared", type=int, default=10_000)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    for part, count in ((points, arguments.points), (runs, arguments.runs), (comparisons, arguments.compared)):
        if count:
            with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
                part(Path(folder), count)


def points(folder: Path, count: int) -> None:
    """One run with `count` points, read at once; then queries of it, and the tail of a growing file."""
    run = directory.create(folder / "runs", resolve("ce_triplet"))
    steps = count // POINTS_A_STEP
    write_steps(run / run_files.EVENTS, 0, steps)
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
        write_steps(run / run_files.EVENTS, tail, 10)
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
        (run / run_files.CONFIG).write_text(config)
        (run / run_files.META).write_text(json.dumps({"tags": ["night"], "created": 1.7e9 + number}))
        write_steps(run / run_files.EVENTS, 0, 2)
        with (run / run_files.EVENTS).open("a") as file:
            file.write(line("evaluation", step=2, epoch=1, stage="final", rank1=0.9, mAP=0.8))
            file.write(line("ended", status="finished", reason=None, summary={"best_epoch": 1}))
    time.sleep(2.5)  # let the times of the folders settle
    history = open_history(folder / "runs.db")
    seconds, _ = timed(lambda: ingest(history, place), repeat=1)
    print(f"first ingest of {count:,} finished runs: {seconds:.2f} s, {1000 * seconds / count:.2f} ms a run")
    print(f"ingest of {count:,} unchanged runs: {milliseconds(lambda: ingest(history, place), 5)}")
    print(f"list of {count:,} runs: {milliseconds(lambda: list_runs(history), 5)}")
    history.dispose()


def comparisons(folder: Path, count: int) -> None:
    """`count` finished runs with final reports, listed and compared by the command line."""
    place = folder / "runs"
    write_reports(place, count)
    time.sleep(2.5)  # let the times of the files settle
    history = open_history(folder / "runs.db")
    ingest(history, place)
    history.dispose()
    print(f"handreid runs, {count:,} runs: {command(folder, 'runs'):.2f} s")
    print(f"handreid compare, {count:,} runs, the first time: {command(folder, 'compare', repeat=1):.2f} s")
    print(f"handreid compare, {count:,} runs, again: {command(folder, 'compare'):.2f} s")
    print(f"handreid compare --by run, {count:,} runs: {command(folder, 'compare', '--by', 'run'):.2f} s")
    kept = (folder / "runs.db").stat().st_size
    print(f"history with the figures of {count:,} reports: {kept / count / 1000:.1f} kB a run")


def command(folder: Path, *words: str, repeat: int = 3) -> float:
    """Seconds of the whole process."""
    call = [sys.executable, "-c", "from handreid_tui.__main__ import main; main()", *words]
    return timed(lambda: subprocess.run(call, cwd=folder, check=True, stdout=subprocess.DEVNULL), repeat)[0]


def write_reports(place: Path, count: int) -> None:
    """Finished runs: ranks drawn at random, each combination a little better than the one before."""
    random = np.random.default_rng(0)
    of = np.sort(np.concatenate([np.arange(IDENTITIES), random.integers(IDENTITIES, size=QUERIES)]))
    distractors = np.arange(len(of), len(of) + GALLERY - IDENTITIES)
    named = [*(f"{i:07}" for i in of), *(f"d{i:06}" for i in distractors)]
    images = [{"name": f"{n:07}.jpg", "path": f"Hands/{n:07}.jpg", "identity": name} for n, name in enumerate(named)]
    listed = json.dumps({"root": "/data/11k", "images": images})
    trials = []
    for _ in range(TRIALS):
        drawn = np.array([random.choice(np.flatnonzero(of == i)) for i in range(IDENTITIES)])
        trials.append((np.setdiff1d(np.arange(len(of)), drawn), np.concatenate([drawn, distractors])))
    ease = 1 + 0.7 * random.normal(size=IDENTITIES)[of]
    for number in range(1, count + 1):
        level, seed = number % len(COMBOS), number // len(COMBOS)
        run = place / f"{number:04d}-{COMBOS[level]}"
        (run / run_files.EVALUATION).mkdir(parents=True)
        config = resolve(COMBOS[level], seed, **{"data.gallery": "all"})
        (run / run_files.CONFIG).write_text(config.model_dump_json())
        (run / run_files.META).write_text(json.dumps({"tags": ["night"], "created": 1.7e9 + number}))
        arrays, scores = {}, []
        for trial, (query, gallery) in enumerate(trials):
            score = ease[query] + 0.1 * level + random.normal(size=QUERIES)
            rank = np.where(score > 0, 1, 2 + np.floor(np.exp(-score)).astype(int))
            arrays |= {f"{trial:02}/query": query, f"{trial:02}/gallery": gallery, f"{trial:02}/rank": rank}
            arrays |= {f"{trial:02}/{name}": 1 / rank for name in ("ap", "ap_trapezoid", "inp")}
            scores.append({"rank1": (rank == 1).mean(), "rank5": (rank <= 5).mean(), "mAP": (1 / rank).mean()})
        summary: dict[str, Any] = {key: float(np.mean([each[key] for each in scores])) for key in scores[0]}
        summary |= {"best_epoch": 1, "seconds": 60.0, "before": {"rank1": 0.5, "mAP": 0.6}}
        save_file(arrays, run / run_files.EVALUATION / run_files.TRIALS)
        (run / run_files.EVALUATION / run_files.IMAGES).write_text(listed)
        (run / run_files.EVALUATION / run_files.SUMMARY).write_text(json.dumps(summary))
        with (run / run_files.EVENTS).open("w") as file:
            told = {"dataset": "11k", "subset": "dorsal-right", "gallery": "all", "fingerprint": "f00d" * 4}
            file.write(line("started", steps=2, epochs=1, resumed_from=None, **told))
            file.write(line("evaluation", step=2, epoch=1, stage="final", rank1=summary["rank1"], mAP=summary["mAP"]))
            file.write(line("ended", status="finished", reason=None, summary=summary))


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
