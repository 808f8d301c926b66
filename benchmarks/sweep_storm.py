"""SIGKILL at random moments to keeper, supervisor, shims and trainers of a sweep, and what it is worth in the end.

python benchmarks/sweep_storm.py [--kills 200] [--trials 24] [--seed 0]

The trainers only pretend: their validation is a function of their settings. No run is killed more often than a sweep
resumes it. The sweep must finish with exactly the planned trainings, none twice, all finished, and the winners of an
undisturbed twin. Exit status 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.contract import run_files
from engine.contract.config import resolve
from handreid_tui.runs.directory import list_runs
from handreid_tui.sweeps.actions import start
from handreid_tui.sweeps.keeper import look_after_sweeps
from handreid_tui.sweeps.plan_file import SweepPlan, read_plan
from handreid_tui.sweeps.points import quasi_points
from handreid_tui.sweeps.selection import wanted_tasks
from handreid_tui.sweeps.space import Dimension, recipe_values
from handreid_tui.sweeps.status import SweepStatus, as_object, read_status
from handreid_tui.sweeps.trials import RESUMES

COMBOS = ("ce", "ce_triplet", "ce_arcface")
KINDS = ("sweeps.keeper", "launch.supervisor", "launch.shim", "trainer.py")
STANDSTILL = 180.0  # seconds without a change of any run

TRAINER = """
import hashlib, json, math, os, signal, sys, time
from pathlib import Path
from engine.contract import run_files
from engine.contract.events import EventWriter, RunEnded, RunStarted

run = Path(sys.argv[1])
config = json.loads((run / run_files.CONFIG).read_text())
stopping = []
signal.signal(signal.SIGTERM, lambda *_: stopping.append(1))
events = EventWriter(run / run_files.EVENTS)
events.write(RunStarted(pid=os.getpid()))
lr, fold = config["train"]["lr"], config["data"]["fold"]
luck = int(hashlib.sha256(f"{config['combo']}{fold}{lr}".encode()).hexdigest()[:8], 16) / 2**32
for _ in range(int(os.environ.get("PRETEND_LOOKS", "5"))):
    time.sleep(0.02)
    if stopping:
        events.write(RunEnded("stopped"))
        sys.exit(0)
value = 0.9 - 0.1 * math.log10(lr / 1e-3) ** 2 + 0.02 * luck
summary = {"validation_mAP": value, "best_epoch": 1, "seconds": 1.0}
if config["evaluation"]["test"]:
    summary["mAP"] = value
events.write(RunEnded("finished", summary=summary))
"""


def plan(trials: int) -> SweepPlan:
    space = [Dimension("train.lr", 1e-5, 1e-1, log=True)]
    bases = {combo: resolve(combo, **{"device": "cpu"}) for combo in COMBOS}
    points = {combo: [recipe_values(bases[combo], space), *quasi_points(space, trials - 1, 0)] for combo in COMBOS}
    launch: dict[str, Any] = {"gpus": 1.0, "parallel": 4}
    return SweepPlan(0, time.time(), bases, dict.fromkeys(COMBOS, space), points, trials, launch=launch)


def processes_of(runs: Path) -> dict[int, tuple[str, str]]:
    """The living processes of this folder of runs, with their kind and the run that they are of."""
    found, names = {}, [path.name for path in list_runs(runs)]
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (entry / "cmdline").read_bytes().decode(errors="replace")
            kind = next((kind for kind in KINDS if kind in command), None)
            if kind and str(runs) in command and "\nState:\tZ" not in (entry / "status").read_text():
                found[int(entry.name)] = kind, next((run for run in names if f"/{run}" in command), "")
    return found


def until_finished(runs: Path, number: int, kills: int, dice: random.Random) -> Counter[str]:
    """Look after the sweep until it has finished, killing meanwhile; how many of each kind were killed."""
    killed: Counter[str] = Counter()
    losses: Counter[str] = Counter()  # of each run: a sweep resumes it so often, and no more
    changed, last = time.monotonic(), ""
    while True:
        look_after_sweeps(runs)
        status = read_status(runs, number)
        if status.phase == "finished":
            return killed
        told = f"{status.phase} {sorted(status.counts.items())}"
        if told != last:
            changed, last = time.monotonic(), told
        if time.monotonic() - changed > STANDSTILL:
            raise SystemExit(f"It stands still: {told}, {dict(killed)} killed.")
        alive = {pid: its for pid, its in processes_of(runs).items() if losses[its[1]] < RESUMES or not its[1]}
        kinds = sorted({kind for kind, _ in alive.values()})
        if kinds and killed.total() < kills:
            kind = dice.choice(kinds)  # each kind as often, whatever their numbers
            victim = dice.choice([pid for pid, (its, _) in alive.items() if its == kind])
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
                killed[kind] += 1
                losses[alive[victim][1]] += 1
        time.sleep(dice.uniform(0.02, 0.3))


def winners(status: SweepStatus) -> dict[str, Any]:
    return {combo["combo"]: combo["chosen"] for combo in as_object(status)["combos"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--trials", type=int, default=24, help="of each of three combinations")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began, states = time.monotonic(), {}
    for name, kills in (("undisturbed", 0), ("storm", options.kills)):
        with tempfile.TemporaryDirectory(prefix="sweep-storm-") as folder:
            runs = Path(folder) / "runs"
            runs.mkdir()
            (Path(folder) / "trainer.py").write_text(TRAINER)
            os.environ |= {"HANDREID_TRAINER": str(Path(folder) / "trainer.py"), "HANDREID_LOCKS": f"{folder}/locks"}
            os.environ["PRETEND_LOOKS"] = "200" if kills else "5"
            number = start(plan(options.trials), runs).number
            killed = until_finished(runs, number, kills, random.Random(options.seed))
            status, made = read_status(runs, number), read_plan(runs, number)
            tasks = [json.loads((path / run_files.SWEEP).read_text()) for path in list_runs(runs)]
            distinct = {json.dumps(task, sort_keys=True) for task in tasks}
            wanted = wanted_tasks(made, status.found)
            spent = Counter(run.status for run in status.found.values())
            print(f"{name}: {len(tasks)} trainings, {len(distinct)} distinct, {len(wanted)} planned, {dict(spent)}")
            print(f"  killed {killed.total()}: {dict(killed)}", flush=True)
            whole = len(tasks) == len(distinct) == len(wanted) == spent["finished"]
            states[name] = (whole, winners(status), spent)
    same = states["undisturbed"][1] == states["storm"][1]
    sound = all(whole for whole, _, _ in states.values())
    print(f"winners {'the same' if same else 'DIFFER'}, trainings {'as planned' if sound else 'NOT AS PLANNED'}")
    print(f"{time.monotonic() - began:.0f} s")
    return 0 if same and sound else 1


if __name__ == "__main__":
    sys.exit(main())
