"""A thousand and ten thousand runs on Slurm: what queueing, looking, the screens and stopping cost. Nothing is trained.

    python benchmarks/slurm.py [--runs 1000 10000]

Brings up a Slurm of one node on this machine (root, Debian's slurm-wlm and munge) and takes it down again. Each run
waits, held; times are those of one call.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common import machine
from tui import first_frame, measure_app

sys.path.insert(0, str(Path(__file__).parents[1]))
from handreid_tui.history import ingest, open_history
from handreid_tui.launch import lifecycle
from handreid_tui.launch.slurm import ledger, sync
from handreid_tui.launch.slurm.request import SlurmRequest
from handreid_tui.runs.directory import create_all, list_runs
from handreid_tui.runs.state import observe
from handreid_tui.settings import Places
from tests.support import slurm_cluster


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, 10_000])
    counts = parser.parse_args().runs
    print(machine())
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with slurm_cluster.cluster(folder / "slurm", MaxArraySize=1001, MaxJobCount=50_000) as environment:
                os.environ |= environment
                measure(folder, count)


def measure(folder: Path, count: int) -> None:
    from engine.contract.config import resolve

    runs, db = folder / "runs", folder / "runs.db"
    configs = [resolve("ce", seed) for seed in range(count)]
    print(f"\n{count:,} runs")
    timed("run directories", lambda: create_all(runs, configs))
    paths = list_runs(runs)
    timed("queued and submitted", lambda: lifecycle.launch(paths, slurm=SlurmRequest(options=("--hold",))))
    print(f"  {'arrays':<50}{len(list(ledger.folder(runs).glob('[0-9]*.json'))):>9}")
    timed("one look at squeue, nothing new", lambda: sync.take_in(runs, every=0))
    history = open_history(db)
    timed("into the history", lambda: ingest(history, runs))
    timed("the history again, nothing new", lambda: ingest(history, runs))
    command = [sys.executable, "-m", "handreid_tui"]
    places = ["--runs", str(runs), "--db", str(db)]
    timed("handreid runs", lambda: quietly([*command, "runs", *places]))
    timed("handreid queue", lambda: quietly([*command, "queue", "--runs", str(runs)]))
    screens(folder, runs, db)
    timed("stop one", lambda: lifecycle.stop(paths[0]))
    timed("stop all", lambda: lifecycle.stop_all(paths[1:]))
    timed("look after that", lambda: sync.take_in(runs, every=0))
    assert all(observe(path).status == "stopped" for path in paths)
    assert not ledger.has_open_tasks(runs)
    files = sum(path.stat().st_size for path in runs.rglob("*") if path.is_file())
    print(f"  {'bytes a run':<50}{files / count:>9,.0f}")


def screens(folder: Path, runs: Path, db: Path) -> None:
    """The terminal UI with the waiting runs and ten that go on, which are taken away again."""
    waiting = set(list_runs(runs))
    app = [sys.executable, "-m", "handreid_tui", "--runs", str(runs), "--db", str(db)]
    own = {"XDG_CONFIG_HOME": str(folder / "config")}
    frames = [first_frame(app, folder, b"Combinations", own) for _ in range(5)]
    print(f"  {'terminal UI, first frame':<50}{statistics.median(frames):>9.2f} s")
    asyncio.run(measure_app(Places(db, runs), folder / "ui.json"))
    for path in set(list_runs(runs)) - waiting:
        shutil.rmtree(path)
    ingest(open_history(db), runs)


def timed(what: str, work: Callable[[], object]) -> None:
    began = time.perf_counter()
    work()
    print(f"  {what:<50}{time.perf_counter() - began:>9.2f} s", flush=True)


def quietly(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()
