"""Carries a sweep on from phase to phase, and ends when it has finished or is stopped.

    python -P -m handreid_tui.sweeps.keeper --runs DIR --sweep N

Built like the supervisor of the queue: without a terminal, in a session of its own, at most one for each sweep, and
restarted by whoever looks. It starts no trainer itself. A sweep on Slurm has none: each look takes its next step.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

from engine.contract import run_files
from engine.contract.errors import UserError
from handreid_tui.launch import file_locks, lifecycle
from handreid_tui.sweeps.plan_file import list_sweeps, read_plan
from handreid_tui.sweeps.prune import ValidationCurves
from handreid_tui.sweeps.schedule import advance
from handreid_tui.sweeps.trials import Reader
from handreid_tui.text.manager_log import log_bug

LOOK_EVERY = 0.5  # seconds
BUSY_SHARE = 0.05  # of a core at most, however many runs there are


def look_after_sweeps(runs: Path) -> None:
    """See to it that every unfinished sweep in the folder `runs` is carried on. Raises UserError where it cannot be."""
    for number in list_sweeps(runs):
        try:
            plan = read_plan(runs, number)
        except UserError:
            continue  # damaged: `handreid sweeps` reports it
        if plan.finished or plan.stopped:
            continue
        if plan.slurm:
            lifecycle.ensure_supervised([runs])
            advance(runs, number, Reader(runs, number))
        elif not file_locks.is_taken(_lock(runs, number)):
            _start(runs, number)


def _start(runs: Path, number: int) -> None:
    log = runs / run_files.SWEEPS / f"{number:04d}.log"
    with log.open("ab") as out:
        command = [sys.executable, "-P", "-m", "handreid_tui.sweeps.keeper", "--runs", str(runs.absolute())]
        # it leaves for the background at once, so that we are not the parent who has to wait for it
        subprocess.run(
            [*command, "--sweep", str(number)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=runs.absolute().parent,
            check=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="handreid_tui.sweeps.keeper")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--sweep", type=int, required=True)
    options = parser.parse_args()
    if os.fork():
        os._exit(0)
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    keep(options.runs, options.sweep)
    return 0


def keep(runs: Path, number: int) -> None:
    """Carry the sweep on until it has finished or is stopped, unless another keeper does."""
    while _is_open(runs, number):
        lock = file_locks.take(_lock(runs, number))
        if lock is None:
            return
        reader, curves, more = Reader(runs, number), ValidationCurves(), True
        while more:
            began = time.monotonic()
            try:
                lifecycle.ensure_supervised([runs])  # should the supervisor have been killed
                more = advance(runs, number, reader, curves)
            except Exception:  # whatever this was may be over at the next look, unless the sweep was removed
                traceback.print_exc()
                log_bug(f"keeper of sweep {number} in {runs}")
                more = _is_open(runs, number)
            if more:
                time.sleep(max(LOOK_EVERY, (time.monotonic() - began) / BUSY_SHARE))
        os.close(lock)  # then look again: --more may have come between


def _is_open(runs: Path, number: int) -> bool:
    try:
        plan = read_plan(runs, number)
    except UserError:
        return False
    return not (plan.finished or plan.stopped)


def _lock(runs: Path, number: int) -> Path:
    return runs / run_files.SWEEPS / f"{number:04d}.keeper"


if __name__ == "__main__":
    sys.exit(main())
