"""Starts the runs of the queue as devices come free, and ends when nothing waits any more.

    python -P -m handreid_tui.launch.supervisor --runs DIR

It runs without a terminal, in a session of its own. At most one works on a folder of runs; the runs that it starts do
not need it. A call of `look_after` after a run was queued always ends with somebody looking: a supervisor looks once
more after it let go of its lock.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from engine.contract import run_files
from handreid_tui.launch import devices, file_locks
from handreid_tui.launch.queue import Waiting, waiting
from handreid_tui.runs.safe_files import is_file
from handreid_tui.text.manager_log import log_bug

LOOK_EVERY = 0.25  # seconds
BUSY_SHARE = 0.05  # of a core at most, however many runs there are


def look_after(runs: Path) -> None:
    """See to it that a supervisor works on the folder `runs`, if anything waits there."""
    lock = runs / run_files.SUPERVISOR_LOCK
    if file_locks.is_taken(lock) or not waiting(runs):
        return
    with (runs / run_files.SUPERVISOR_LOG).open("ab") as log:
        command = [sys.executable, "-P", "-m", "handreid_tui.launch.supervisor", "--runs", str(runs.absolute())]
        # it leaves for the background at once, so that we are not the parent who has to wait for it
        subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=runs.absolute().parent, check=True
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="handreid_tui.launch.supervisor")
    parser.add_argument("--runs", type=Path, required=True)
    runs = parser.parse_args().runs
    if os.fork():
        os._exit(0)
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for name in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(name, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, (signal.SIGCHLD,))
    supervise(runs)
    return 0


def supervise(runs: Path) -> None:
    """Start what waits in `runs` until nothing does, unless another supervisor is at it."""
    while waiting(runs):
        lock = file_locks.take(runs / run_files.SUPERVISOR_LOCK)
        if lock is None:
            return
        work = Supervisor()
        began = time.monotonic()
        while queue := waiting(runs):
            try:
                work.start_what_can(queue)
            except Exception:  # the night goes on: whatever this was may be over at the next look
                traceback.print_exc()
                log_bug(f"supervisor of {runs}")
            cost = time.monotonic() - began
            signal.sigtimedwait((signal.SIGCHLD,), max(LOOK_EVERY, cost / BUSY_SHARE))
            began = time.monotonic()
            work.look_at_shims()
        os.close(lock)


@dataclass
class Supervisor:
    """The shims that this supervisor started, and the runs that could not be started."""

    shims: dict[Path, subprocess.Popen[bytes]] = field(default_factory=dict)
    failures: dict[Path, int] = field(default_factory=dict)
    retry_at: dict[Path, float] = field(default_factory=dict)

    def start_what_can(self, queue: list[Waiting]) -> None:
        gpus = devices.list_gpus()
        refused = set()
        for run in queue:
            asked = (run.device, run.gpus, run.parallel, run.visible)
            if asked in refused or run.path in self.shims or self.retry_at.get(run.path, 0) > time.monotonic():
                continue
            lease = devices.take(run, gpus)
            if lease is None:
                refused.add(asked)
                continue
            try:
                self._start(run, lease)
            finally:
                lease.close()

    def _start(self, run: Waiting, lease: devices.Lease) -> None:
        command = [sys.executable, "-P", "-m", "handreid_tui.launch.shim", str(run.path)]
        command += [
            "--queue",
            "--device",
            lease.device,
            "--processes",
            str(lease.processes),
            *(f"--hold={lock}" for lock in lease.locks),
        ]
        environment = {key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"}
        if run.visible is not None:
            environment["CUDA_VISIBLE_DEVICES"] = run.visible
        try:
            self.shims[run.path] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                env=environment | lease.environment,
                pass_fds=lease.locks,
                start_new_session=True,
            )
            say(f"{run.path.name} starts on {lease.device}")
        except OSError as error:
            self._postpone(run.path, str(error))

    def look_at_shims(self) -> None:
        """Reap the shims that ended; a run that still waits after that is tried again, less and less often."""
        for path, shim in list(self.shims.items()):
            if shim.poll() is None:
                continue
            del self.shims[path]
            if shim.returncode and is_file(path / run_files.QUEUED):
                self._postpone(path, f"its shim ended with status {shim.returncode}")
            else:
                say(f"{path.name} ended")

    def _postpone(self, path: Path, reason: str) -> None:
        self.failures[path] = self.failures.get(path, 0) + 1
        pause = min(60.0, 0.25 * 2 ** self.failures[path])
        self.retry_at[path] = time.monotonic() + pause
        say(f"{path.name} could not be started ({reason}); next try in {pause:.1f} s")


def say(text: str) -> None:
    print(time.strftime("%Y-%m-%d %H:%M:%S"), text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
