"""SIGKILL at random moments to trainers, shims, supervisor, clients and readers, and what is left true after each.

python benchmarks/kill_storm.py [--kills 200] [--runs 6] [--real] [--seed 0]

A client is a process that launches and waits, as `handreid run` does; a reader ingests, as the terminal UI does. After
each kill: the history is sound, and it holds exactly the steps that the events tell up to the offset reached. What was
killed is resumed, until as many kills are done and all runs have finished. At the end: the final weights are those of
undisturbed runs, a rebuilt history equals the one that lived through it, and no process is left.

Without --real, the trainers only pretend: their weights are a hash of all their steps. Exit status 1 if a check fails.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.contract import run_files
from engine.contract.config import resolve
from engine.contract.events import Event, RunStarted, TrainingStep, parse, read_events
from handreid_tui.history import ingest, open_history, rebuild
from handreid_tui.launch import lifecycle
from handreid_tui.runs import directory
from handreid_tui.runs.attempt import Attempt, Process
from handreid_tui.runs.claim import process_started
from handreid_tui.runs.state import observe

ROLES = {"trainer": 8, "shim": 4, "supervisor": 3, "client": 1, "reader": 2}  # how often each is chosen
PARALLEL = 3
EPOCHS = 3  # of a real run
STANDSTILL = 150.0  # seconds without a change of any run

PRETENDING_TRAINER = """
import hashlib, json, os, signal, sys, time
from pathlib import Path
from typing import Any
from engine.contract import run_files
from engine.contract.events import EventWriter, parse

def event(kind, **fields):
    return parse(json.dumps({"kind": kind, **fields}))

run = Path(sys.argv[1])
config = json.loads((run / run_files.CONFIG).read_text())
stopping = []
signal.signal(signal.SIGTERM, lambda *_: stopping.append(1))
checkpoint = run / run_files.CHECKPOINTS / run_files.PROGRESS
checkpoint.parent.mkdir(exist_ok=True)
state = json.loads(checkpoint.read_text()) if checkpoint.exists() else {"step": 0, "weights": ""}
events = EventWriter(run / run_files.EVENTS)
events.write(event("started", pid=os.getpid(), resumed_from=state["step"] or None, steps=config["train"]["epochs"]))
for step in range(state["step"], config["train"]["epochs"]):
    time.sleep(0.005)
    weights = hashlib.sha256(f"{state['weights']} {config['seed']} {step}".encode()).hexdigest()
    events.write(event("step", step=step, total=1 / (step + 1), terms={"ce": 1 / (step + 1)}))
    state = {"step": step + 1, "weights": weights}
    if step % 7 == 0 or step + 1 == config["train"]["epochs"] or stopping:
        fresh = checkpoint.with_suffix(".tmp")
        fresh.write_text(json.dumps(state))
        fresh.rename(checkpoint)
        events.write(event("checkpoint", step=step + 1))
    if stopping:
        events.write(event("ended", status="stopped", reason=None, summary=None))
        sys.exit(0)
events.write(event("ended", status="finished", reason=None, summary={}))
"""

CLIENT = """
import sys
from pathlib import Path
from typing import Any
from handreid_tui.launch import lifecycle
paths = [Path(path) for path in sys.argv[2:]]
lifecycle.launch(paths, parallel=int(sys.argv[1]))
lifecycle.wait(paths)
"""

READER = """
import sys, time
from pathlib import Path
from typing import Any
from handreid_tui.history import ingest, open_history
history = open_history(Path(sys.argv[1]))
while True:
    ingest(history, Path(sys.argv[2]))
    time.sleep(0.02)
"""


@dataclass
class Storm:
    """One folder of runs, who works on it, and what was counted."""

    folder: Path
    real: bool
    random: random.Random
    paths: list[Path] = field(default_factory=list)
    clients: list[subprocess.Popen[bytes]] = field(default_factory=list)
    reader: subprocess.Popen[bytes] | None = None
    counts: Counter[str] = field(default_factory=Counter)
    told: str = ""
    told_at: float = 0.0

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def db(self) -> Path:
        return self.folder / "runs.db"

    def make(self, seed: int) -> Path:
        epochs = EPOCHS if self.real else 150
        settings: dict[str, Any] = {"train.epochs": epochs, "train.checkpoint_every": 0.1, "device": "cpu"}
        config = resolve("ce_triplet_center", seed, **settings)
        return directory.create(self.runs, config.model_copy(update={"threads": 1}))

    def unfinished(self) -> list[Path]:
        return [path for path in self.paths if observe(path).status != "finished"]

    def keep_busy(self, at_once: int) -> None:
        """As many runs under way as wanted, each launched by a client that waits for it."""
        if fresh := [self.make(len(self.paths) + i) for i in range(at_once - len(self.unfinished()))]:
            self.paths += fresh
            self.launch(fresh)

    def launch(self, paths: list[Path]) -> None:
        command = [sys.executable, "-P", "-c", CLIENT, str(PARALLEL), *map(str, paths)]
        self.clients.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))

    def mend(self) -> None:
        """What a user does after an accident: look again, resume what ended, launch what never started."""
        self.clients = [client for client in self.clients if client.poll() is None]
        if self.reader is None or self.reader.poll() is not None:
            self.reader = subprocess.Popen([sys.executable, "-P", "-c", READER, str(self.db), str(self.runs)])
        for path in self.unfinished():
            state = observe(path)
            untouched = not any(
                (path / name).exists() for name in (run_files.QUEUED, run_files.PROCESS, run_files.EVENTS)
            )
            if untouched and not self.clients:
                self.launch([path])
            elif state.status in ("stopped", "failed", "lost") and not untouched:
                lifecycle.resume([path], parallel=PARALLEL)
                self.counts[f"resumed after {state.status}"] += 1
        lifecycle.ensure_supervised([self.runs])

    def kill_somebody(self) -> None:
        role = self.random.choices(list(ROLES), list(ROLES.values()))[0]
        victims = self.victims(role)
        if victims and self.random.choice(victims).send(signal.SIGKILL):
            self.counts[f"killed {role}"] += 1
            self.counts["kills"] += 1

    def victims(self, role: str) -> list[Process]:
        if role in ("trainer", "shim"):
            named = [getattr(Attempt.read(path), role) for path in self.paths]
            return [process for process in named if process and process.alive]
        if role == "supervisor":
            return supervisors(self.runs)
        own = self.clients if role == "client" else [self.reader] if self.reader else []
        started = [(process.pid, process_started(process.pid)) for process in own]
        return [Process(pid, at) for pid, at in started if at is not None]

    def check(self) -> None:
        """The history is sound, and holds for each run the steps that its events tell up to the offset."""
        if not self.db.exists():
            return
        with closing(sqlite3.connect(f"file:{self.db}?mode=ro", uri=True, timeout=30)) as history:
            history.execute("BEGIN")
            require(history.execute("PRAGMA integrity_check").fetchone() == ("ok",), "the history is damaged")
            try:
                offsets = dict(history.execute("SELECT run, offset FROM position"))
            except sqlite3.OperationalError:
                return  # its tables are about to be made
            held: dict[int, list[int]] = {}
            query = "SELECT run, step FROM metric JOIN metric_key ON id = key WHERE name = 'total' ORDER BY step"
            for run, step in history.execute(query):
                held.setdefault(run, []).append(step)
        for path in self.paths:
            number = directory.number(path)
            told = steps_told(path, offsets.get(number, 0))
            require(held.get(number, []) == told, f"{path.name}: steps lost or doubled")
            self.counts["runs compared"] += number in offsets
        self.counts["checks"] += 1

    def look_for_standstill(self) -> None:
        states = {path.name: observe(path) for path in self.paths}
        if (told := f"{states} {self.counts['kills']}") != self.told:
            self.told, self.told_at = told, time.monotonic()
        require(time.monotonic() - self.told_at < STANDSTILL, f"nothing goes on: {told}")

    def finish(self) -> None:
        """What must be true when everything has ended."""
        for client in self.clients:
            client.wait(60)
        if self.reader:
            self.reader.kill()
            self.reader.wait()
        history = open_history(self.db)
        ingest(history, self.runs)
        history.dispose()
        self.check()
        rebuild(self.folder / "rebuilt.db", self.runs)
        require(content(self.db) == content(self.folder / "rebuilt.db"), "the rebuilt history differs")
        end = time.monotonic() + 10
        while left := [pid for path in self.paths for pid in living(path)] + supervisors(self.runs):
            require(time.monotonic() < end, f"processes are left: {left}")
            time.sleep(0.05)
        for path in self.paths:
            self.counts["events"] += len(read_events(path / run_files.EVENTS, limit=1 << 30).events)
            self.counts["torn lines"] += read_events(path / run_files.EVENTS, limit=1 << 30).damaged
        self.counts["runs finished"] = len(self.paths)


def steps_told(path: Path, offset: int) -> list[int]:
    """The steps that stand after the events up to `offset`: a resume voids those behind its checkpoint."""
    steps: set[int] = set()
    for event in upto(path / run_files.EVENTS, offset):
        if isinstance(event, RunStarted):
            steps = {step for step in steps if step < (event.resumed_from or 0)}
        elif isinstance(event, TrainingStep):
            steps.add(event.step)
    return sorted(steps)


def upto(events: Path, offset: int) -> list[Event]:
    """The events before that byte; a trainer may be writing more at this moment."""
    lines = events.read_bytes()[:offset].splitlines() if offset else ()
    found = [event for line in lines if (event := parse(line))]  # others were torn by a kill
    return found


def supervisors(runs: Path) -> list[Process]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"handreid_tui.launch.supervisor" in words and str(runs).encode() in words:
            started = process_started(int(entry.name))
            found += [Process(int(entry.name), started)] if started is not None else []
    return found


def living(path: Path) -> list[int]:
    return [process.pid for process in Attempt.read(path).living]


def content(db: Path) -> list[list[tuple]]:
    """What the history tells, without what differs by nature: ids of keys, and when files were looked at."""
    with closing(sqlite3.connect(db)) as history:
        tables = [
            "SELECT * FROM run ORDER BY number",
            "SELECT run, name, step, value FROM metric JOIN metric_key ON id = key ORDER BY 1, 2, 3",
            "SELECT run, name, n, last, last_step, min, max FROM summary JOIN metric_key ON id = key ORDER BY 1, 2",
            "SELECT * FROM message ORDER BY run, n",
            "SELECT run, offset FROM position ORDER BY run",
        ]
        return [history.execute(table).fetchall() for table in tables]


def weights(path: Path, real: bool) -> str:
    if real:
        return hashlib.sha256((path / run_files.BEST_CHECKPOINT / run_files.MODEL).read_bytes()).hexdigest()
    return str(json.loads((path / run_files.CHECKPOINTS / run_files.PROGRESS).read_text())["weights"])


def undisturbed(folder: Path, real: bool, count: int) -> list[str]:
    """The final weights of the first `count` runs when nobody is killed."""
    storm = Storm(folder, real, random.Random(0))
    paths = [storm.make(seed) for seed in range(count)]
    lifecycle.launch(paths, parallel=PARALLEL)
    ended = lifecycle.wait(paths)
    require(all(state.status == "finished" for state in ended.values()), f"undisturbed runs did not finish: {ended}")
    return [weights(path, real) for path in paths]


def require(condition: bool, message: str) -> None:
    if not condition:
        raise SystemExit(f"FAILED: {message}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--runs", type=int, default=6, help="runs under way at once")
    parser.add_argument("--real", action="store_true", help="train with the engine: minutes a run")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of victims and moments")
    chosen = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HANDREID_LOCKS"] = str(folder / "locks")
        if not chosen.real:
            (folder / "trainer.py").write_text(PRETENDING_TRAINER)
            os.environ["HANDREID_TRAINER"] = str(folder / "trainer.py")
        storm = Storm(folder, chosen.real, random.Random(chosen.seed))
        open_history(storm.db).dispose()
        try:
            while storm.counts["kills"] < chosen.kills or storm.unfinished():
                if storm.counts["kills"] < chosen.kills:
                    storm.keep_busy(chosen.runs)
                    storm.kill_somebody()
                storm.mend()
                storm.check()
                storm.look_for_standstill()
                time.sleep(storm.random.uniform(0, 4.0 if chosen.real else 0.15))
            storm.finish()
        finally:
            for process in [*storm.clients, *([storm.reader] if storm.reader else [])]:
                process.kill()  # one that is left would keep our output open
        expected = undisturbed(folder / "undisturbed", chosen.real, len(storm.paths))
        require([weights(path, chosen.real) for path in storm.paths] == expected, "final weights differ")
        storm.counts["equal final weights"] = len(expected)
        for what, count in sorted(storm.counts.items()):
            print(f"{what}: {count}")
        print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
