"""How fast the terminal UI is: first frame, key latency, redraw, share of the processor.

    python benchmarks/tui.py [--leet PATH]     PATH: a `wandb` with `leet` (pip install wandb), to compare first frames

Makes its histories in a temporary folder. Wall times are medians; run it on an idle machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pty
import resource
import select
import shutil
import signal
import statistics
import struct
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path
from typing import Any

import numpy as np
from textual.events import Key

from engine.contract import run_files
from engine.contract.config import resolve
from handreid_tui.history import ingest, open_history
from handreid_tui.runs import directory
from handreid_tui.runs.safe_files import write_json
from handreid_tui.settings import Places
from handreid_tui.sweeps.plan_file import TRIAL_SEED, SweepPlan, changing_sweeps
from handreid_tui.sweeps.roles import TRIAL
from handreid_tui.sweeps.space import Dimension
from handreid_tui.sweeps.trials import TrialTask
from handreid_tui.ui.app import HandreidApp
from handreid_tui.ui.chart.compose import ChartStyle, Line, compose
from handreid_tui.ui.chart.raster import View, data_range, rasterise
from handreid_tui.ui.preferences import Remembered
from handreid_tui.ui.screens.runs.sweep_view import SweepView

COMBOS = ("ce", "ce_triplet", "ce_triplet_center", "ce_arcface")
STARTED = {
    "epochs": 40, "dataset": "synthetic", "subset": "dorsal-right", "gallery": "own", "fingerprint": "ab" * 8,
    "model": "handreid-tiny", "device": "cpu", "host": "here", "resumed_from": None,
}  # fmt: skip


def write_run(runs: Path, combo: str, seed: int, steps: int, ended: bool = True) -> Path:
    """A run directory with `steps` steps and a validation every tenth of them."""
    config = resolve(combo, seed)
    path = directory.create(runs, config)
    rng = np.random.default_rng(seed)
    now = time.time()
    lines = [{"kind": "started", "t": now, "steps": steps, "combo": combo} | STARTED]
    for step in range(steps):
        lines.append(step_event(step, now, list(config.loss), rng))
        if step % max(1, steps // 10) == 0:
            lines.append(
                {"kind": "evaluation", "stage": "validation", "step": step, "rank1": 0.7, "mAP": 0.8, "t": now}
            )
    if ended:
        lines.append(
            {"kind": "evaluation", "stage": "final", "step": steps, "rank1": rng.random(), "mAP": rng.random()}
        )
        lines.append({"kind": "ended", "status": "finished", "t": now + 60})
        (path / run_files.EXIT).write_text('{"status": 0}')
    (path / run_files.EVENTS).write_text("".join(json.dumps({"v": 1, **line}) + "\n" for line in lines))
    return path


def step_event(step: int, t: float, terms: list[str], rng: np.random.Generator) -> dict[str, Any]:
    values = {term: float(np.exp(-step / 5e5) * (2 + rng.normal() / 5)) for term in terms}
    total = sum(values.values())
    return {"kind": "step", "t": t, "step": step, "epoch": 1, "total": total, "terms": values, "images_per_s": 500.0}


# --- first frame


def first_frame(command: list[str], folder: Path, mark: bytes, environment: dict[str, str]) -> float:
    """Seconds from the start of a program in a pseudo-terminal of 160x48 to `mark` on its screen."""
    began = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execvpe(command[0], command, os.environ | environment | {"TERM": "xterm-256color", "COLORTERM": "truecolor"})
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 48, 160, 0, 0))
    seen = b""
    try:
        while mark not in seen:
            ready, _, _ = select.select([terminal], [], [], 15)
            if not ready:
                return float("nan")
            seen += os.read(terminal, 1 << 16)
            if b"\x1b[6n" in seen:  # a program that asks where the cursor is waits for the answer
                os.write(terminal, b"\x1b[1;1R")
        return time.perf_counter() - began
    except OSError:
        return float("nan")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def compare_first_frames(folder: Path, leet: str | None, repeats: int = 10) -> None:
    small, large = folder / "empty", folder / "thousand"
    small.mkdir()
    large.mkdir()
    print("  (writing 1,000 runs …)", flush=True)
    for n in range(1000):
        write_run(large / "runs", COMBOS[n % 4], n, 20)
    ingest(open_history(large / "runs.db"), large / "runs")
    ours = [sys.executable, "-m", "handreid_tui"]
    own = {"XDG_CONFIG_HOME": str(folder / "config")}
    programs = {
        "handreid, no runs": (ours, small, b"Combinations", own),
        "handreid, 1,000 runs": (ours, large, b"Combinations", own),
    }
    if leet:
        wandb = folder / "wandb"
        wandb.mkdir()
        programs["wandb leet, no runs"] = (
            [leet, "leet", str(wandb)],
            folder,
            b"No runs found",
            {"WANDB_MODE": "offline"},
        )
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(repeats):  # turn and turn about, so that the machine's moods fall on all alike
        for name, (command, where, mark, environment) in programs.items():
            times[name].append(first_frame(command, where, mark, environment))
    for name, found in times.items():
        middle, best = 1e3 * statistics.median(found), 1e3 * min(found)
        print(f"  first frame, {name:24} {middle:6.0f} ms   (of {repeats}, best {best:.0f})")


# --- inside the app


def _on_live(places: Places, state: Path) -> Path:
    """The file of what the UI remembers, as someone left it who looked at Live."""
    before = Remembered(state, places.runs)
    before.put("app", "page", "live")
    before.write()
    return state


async def measure_app(places: Places, state: Path) -> None:
    """Shares and key latencies with ten runs that go on, beside what `places` holds already."""
    runs = [write_run(places.runs, COMBOS[n % 4], n, 200, ended=False) for n in range(10)]
    for n in range(30):
        write_run(places.runs, COMBOS[n % 4], 100 + n, 20)
    app = HandreidApp(places, _on_live(places, state))
    stop = threading.Event()
    async with app.run_test(size=(160, 48)) as pilot:
        while len(app.snapshot.runs) < 40:
            await pilot.pause(0.05)
        await pilot.pause(2)
        await _share(pilot, "idle (no event), share of one core", 5)
        writer = threading.Thread(target=stream, args=(runs, stop))
        writer.start()
        await pilot.pause(1)
        await _share(pilot, "ten runs streaming 10 steps/s each, share of one core", 5)
        for page, title, table in (("2", "Live", "RunList"), ("3", "Runs", "RowTable"), ("1", "Launch", "#combos")):
            await pilot.press(page)
            await pilot.pause(1)
            rows = app.screen.query_one(table)
            took = await _latency(app, "jkjkjkjkjk", lambda rows=rows: rows.current)
            print(f"  key to drawn screen, ten runs streaming: next row on {title:8} {took:6.1f} ms")
        await pilot.press("3", "4", "5", "2")
        await pilot.pause(2)
        took = await _latency(app, "3232323232", lambda: app.screen)
        print(f"  key to drawn screen, ten runs streaming: page to page {took:10.1f} ms")
        stop.set()
        writer.join()


def stream(runs: list[Path], stop: threading.Event) -> None:
    rng = np.random.default_rng(0)
    step = 200
    while not stop.wait(0.1):
        for run in runs:
            with (run / run_files.EVENTS).open("a") as file:
                file.write(json.dumps({"v": 1} | step_event(step, time.time(), ["ce"], rng)) + "\n")
        step += 1


async def _share(pilot: Any, name: str, seconds: float) -> None:
    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    before, began = used(), time.perf_counter()
    await asyncio.sleep(seconds)
    print(f"  {name:56} {100 * (used() - before) / (time.perf_counter() - began):5.1f} %")


async def _latency(app: HandreidApp, keys: str, state: Callable[[], Any]) -> float:
    """Median milliseconds from a key, over the change of `state`, to the screen drawn after it."""
    times = []
    for key in keys:
        before, began = state(), time.perf_counter()
        app.post_message(Key(key, key))
        while state() == before:
            await asyncio.sleep(0)
        drawn = asyncio.Event()
        app.screen.call_after_refresh(drawn.set)
        await drawn.wait()
        times.append(1e3 * (time.perf_counter() - began))
        await asyncio.sleep(0.15)
    return statistics.median(times)


# --- a sweep of a thousand trials


def write_sweep(runs: Path) -> None:
    """A finished sweep with 250 trials of each combination."""
    rates = [float(f"{1e-4 * 1.02**n:.4g}") for n in range(250)]
    points = {combo: [{"train.lr": rate} for rate in rates] for combo in COMBOS}
    space = {combo: [Dimension("train.lr", 1e-4, 1e-1, log=True)] for combo in COMBOS}
    bases = {combo: resolve(combo) for combo in COMBOS}
    plan = SweepPlan(1, time.time(), bases, space, points, 250, shortlist=1, confirm=1, finished=True)
    with changing_sweeps(runs, 1):
        plan.write(runs)
    for n in range(1000):
        path = write_run(runs, COMBOS[n % 4], TRIAL_SEED, 20)
        task = TrialTask(TRIAL, COMBOS[n % 4], n // 4, 0, TRIAL_SEED)
        write_json(path / run_files.SWEEP, task.as_json(1, points[COMBOS[n % 4]][n // 4]))


async def measure_trials(folder: Path) -> None:
    """Runs with a thousand runs, and with a thousand trials of a sweep; ten more go on."""
    for name in ("1,000 runs", "1,000 trials"):
        places = Places(folder / name / "runs.db", folder / name / "runs")
        places.runs.mkdir(parents=True)
        if name == "1,000 trials":
            write_sweep(places.runs)
        else:
            for n in range(1000):
                write_run(places.runs, COMBOS[n % 4], n, 20)
        runs = [write_run(places.runs, COMBOS[n % 4], n, 200, ended=False) for n in range(10)]
        ingest(open_history(places.db), places.runs)
        app, stop = HandreidApp(places, _on_live(places, folder / f"{name}.json")), threading.Event()
        async with app.run_test(size=(160, 48)) as pilot:
            while len(app.snapshot.runs) < 1010:
                await pilot.pause(0.05)
            await pilot.press("3")
            await pilot.pause(3)
            await _share(pilot, f"{name}, idle, share of one core", 5)
            writer = threading.Thread(target=stream, args=(runs, stop))
            writer.start()
            await pilot.pause(1)
            await _share(pilot, f"{name}, ten runs streaming, share of one core", 5)
            rows = app.screen.query_one("RowTable")
            took = await _latency(app, "jkjkjkjkjk", lambda rows=rows: rows.current)
            print(f"  {name}, key to drawn screen: next row on Runs {took:6.1f} ms")
            if name == "1,000 trials":
                took = await _opened(app, SweepView(places.runs, 1))
                print(f"  {name}, a sweep opened to its drawn screen {took:6.1f} ms")
            stop.set()
            writer.join()


async def _opened(app: HandreidApp, screen: Any) -> float:
    began, drawn = time.perf_counter(), asyncio.Event()
    await app.push_screen(screen)
    while not screen.query("RowTable") and time.perf_counter() - began < 30:
        await asyncio.sleep(0.005)
    screen.call_after_refresh(drawn.set)
    await drawn.wait()
    return 1e3 * (time.perf_counter() - began)


# --- the chart


def measure_chart() -> None:
    n = 1_000_000
    rng = np.random.default_rng(0)
    x = np.arange(n, dtype=float)
    lines = [Line(f"{k}", x, np.exp(-x / 3e5) * (2 + k + rng.normal(size=n) / 5), k) for k in range(4)]
    points = [(line.x, line.y) for line in lines]
    for name, log in (("linear", False), ("log", True)):
        y0, y1 = data_range(points, 0, n, log)
        took = _median(lambda y0=y0, y1=y1, log=log: rasterise(points, 58, 16, View(0, n, y0, y1, log)))
        print(f"  rasterise four lines of a million points, {name:6} {took:19.1f} ms")
    took = _median(lambda: compose(lines, 64, 18, ChartStyle(log=True)))
    print(f"  a whole chart of them, axes and legend {took:29.1f} ms")
    thinned = [Line(line.name, line.x[::250], line.y[::250], line.slot) for line in lines]
    took = _median(lambda: compose(thinned, 64, 18, ChartStyle(log=True)))
    print(f"  the same, thinned to 4,000 points each as in Live {took:18.1f} ms")


def _median(call: Any, repeats: int = 15) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - began))
    return statistics.median(times)


async def measure_redraw(folder: Path) -> None:
    """The whole way on the Live page: a new event on disk, a million points behind it, to the drawn screen."""
    places = Places(folder / "million" / "runs.db", folder / "million" / "runs")
    places.db.parent.mkdir()
    print("  (writing a run of a million steps …)", flush=True)
    run = write_run(places.runs, "ce_triplet_center", 0, 1_000_000, ended=False)
    began = time.perf_counter()
    ingest(open_history(places.db), places.runs)
    print(f"  a million steps of four metrics into the history {time.perf_counter() - began:17.1f} s")
    state = folder / "million.json"
    app = HandreidApp(places, _on_live(places, state))
    async with app.run_test(size=(160, 48)) as pilot:
        chart: Any = None
        while chart is None or not chart.lines:
            await pilot.pause(0.05)
            chart = next(iter(app.screen.query("#loss")), None)
        await pilot.pause(2)
        drawn: list[float] = []
        told: Any = app.screen
        draw = told._draw

        def timed(reading: Any) -> None:
            began = time.perf_counter()
            draw(reading)
            drawn.append(1e3 * (time.perf_counter() - began))

        told._reader._done = timed
        rng, waits = np.random.default_rng(1), []
        for step in range(1_000_000, 1_000_010):
            last, began = chart.lines[0].x[-1], time.perf_counter()
            with (run / run_files.EVENTS).open("a") as file:
                event = step_event(step, time.time(), ["ce", "triplet", "center"], rng)
                file.write(json.dumps({"v": 1} | event) + "\n")
            while chart.lines[0].x[-1] == last:
                await asyncio.sleep(0.005)
            waits.append(1e3 * (time.perf_counter() - began))
            await asyncio.sleep(0.3)
        print(f"  redraw of the Live charts, four lines of a million points {statistics.median(drawn):8.1f} ms")
        print(f"  from an event on disk to the screen {statistics.median(waits):30.0f} ms   (worst {max(waits):.0f})")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--leet", default=shutil.which("wandb"), help="the wandb program to compare with")
    arguments.add_argument("--quick", action="store_true", help="without the run of a million steps")
    arguments.add_argument("--trials", action="store_true", help="a sweep of a thousand trials, alone")
    chosen = arguments.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if chosen.trials:
            print("A thousand trials")
            asyncio.run(measure_trials(folder))
            return
        print("Chart")
        measure_chart()
        print("First frame")
        compare_first_frames(folder, chosen.leet)
        print("App")
        asyncio.run(measure_app(Places(folder / "runs.db", folder / "runs"), folder / "ui.json"))
        if not chosen.quick:
            print("A million points")
            asyncio.run(measure_redraw(folder))


if __name__ == "__main__":
    main()
