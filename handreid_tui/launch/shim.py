"""One small process for each run: it starts the trainer, tells who it is, waits, and writes how it ended.

    python -P -m handreid_tui.launch.shim RUN_DIR [--device NAME] [--hold FD]... [--processes N] [--queue] [--slurm]

Only a parent can read an exit status, and whoever launched the run may be gone by then; this process stays. It starts
nothing unless it owns the run (claim.lock) and the run still waits (queued.json). The trainer inherits the claim and
the lease of its device, so both are free when the last of the two is dead, however that came about.

Where the environment names a script in HANDREID_TRAINER, that is run instead of `-m engine train`, with the run
directory as its argument. The standard library alone: 12 MiB, started in 60 ms.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.contract import run_files
from engine.contract.errors import UserError
from handreid_tui.launch.slurm.shim_task import ThisTask, wait_again
from handreid_tui.runs.attempt import mark_stopping, was_asked_to_stop, workers
from handreid_tui.runs.claim import boot_id, claim, process_started
from handreid_tui.runs.ending import events_size, has_checkpoint, how_ended, tell_ended
from handreid_tui.runs.safe_files import write_json

CPU_NICENESS = 5  # of a trainer on the CPU: the keys of whoever works here go first, and it still gets a quarter
PR_SET_PDEATHSIG = 1
CUT_SHORT = "Stopped before it could write a checkpoint; resume continues from the previous one, if there is one."
TIME_SHORT = "Slurm's time limit was near before a first checkpoint: request more time, then resume."
TIME_IS_UP, KILL = signal.SIGUSR1, signal.SIGUSR2  # from Slurm, and by way of it
STOP = (signal.SIGTERM, signal.SIGINT, TIME_IS_UP, KILL)


def main() -> int:
    parser = argparse.ArgumentParser(prog="handreid_tui.launch.shim")
    parser.add_argument("run", type=Path)
    parser.add_argument("--device", default="", help=f"name of the leased device, for {run_files.PROCESS}")
    parser.add_argument("--hold", type=int, action="append", default=[], help="descriptor of a lease, for the trainer")
    parser.add_argument("--processes", type=int, default=1, help="of the trainer: one for each leased GPU")
    parser.add_argument("--queue", action="store_true", help="look after the queue when the run has ended")
    parser.add_argument("--slurm", action="store_true", help="this is a task of Slurm")
    options = parser.parse_args()
    run = options.run.absolute()
    listen_to_signals()
    task = ThisTask.of_environment() if options.slurm else None
    owned = task.own(run) if task else claim(run) if (run / run_files.QUEUED).is_file() else None
    if owned is None or not (run / run_files.QUEUED).is_file():
        return 0  # another shim was faster, or the run left the queue
    os.dup2(open_log(run), 1)
    os.dup2(1, 2)
    (run / run_files.EXIT).unlink(missing_ok=True)
    started_at = events_size(run)
    about = whoami(options.device, started_at) | ({"device": task.device, "slurm": task.id} if task else {})
    write_json(run / run_files.PROCESS, about)
    niceness = CPU_NICENESS if options.device == "CPU" else 0
    trainer = start_trainer(run, [owned, *options.hold], task.gpus if task else options.processes, task, niceness)
    about |= {"trainer": trainer.pid, "trainer_started": process_started(trainer.pid)}
    with suppress(OSError):  # a full disk must not stop a run that trains
        write_json(run / run_files.PROCESS, about)
    (run / run_files.QUEUED).unlink()  # last: killed before this line, the run still waits for its start
    received = supervise(trainer, run, task)
    if received:  # whatever the exit status: torchrun has its own
        with suppress(OSError, UserError):
            short = TIME_IS_UP in received and KILL not in received and not has_checkpoint(run, started_at)
            tell_ended(run, "stopped", TIME_SHORT if short else CUT_SHORT, started_at)
    write_json(run / run_files.EXIT, {"t": round(time.time(), 3), "status": trainer.returncode})
    waits = wait_again(run) if task and is_cut_short(task, run, received, started_at) else None
    for lock in (owned, *options.hold):
        os.close(lock)
    if task and waits:
        with suppress(OSError, UserError):  # somebody else has the run by now
            task.requeue(run, waits)
    if options.queue:
        from handreid_tui.launch.supervisor import look_after

        look_after(run.parent)
    return trainer.returncode % 256 if task else 0  # Slurm keeps a record of it


def is_cut_short(task: ThisTask, run: Path, received: set[int], started_at: int) -> bool:
    """Whether Slurm stopped the trainer, nobody else, and it got far enough that another start would get farther."""
    if how_ended(run, started_at) != "stopped" or KILL in received or not has_checkpoint(run, started_at):
        return False
    return TIME_IS_UP in received or (not was_asked_to_stop(run) and task.is_preempted())


def listen_to_signals() -> None:
    """Signals wait until `supervise` asks for them: none is lost, none interrupts. A hang-up is nobody's business."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for name in (*STOP, signal.SIGCHLD):
        signal.signal(name, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, (*STOP, signal.SIGCHLD))


def whoami(device: str, events: int) -> dict[str, Any]:
    me = os.getpid()
    return {
        "t": round(time.time(), 3),
        "host": socket.gethostname(),
        "boot_id": boot_id(),
        "shim": me,
        "shim_started": process_started(me),
        "device": device,
        "events": events,
    }


def start_trainer(
    run: Path, inherited: list[int], processes: int, task: ThisTask | None, niceness: int = 0
) -> subprocess.Popen[bytes]:
    # -P: a folder called `engine` where the user stands is not ours
    python, script = [sys.executable, "-P"], os.environ.get("HANDREID_TRAINER")
    if task and task.nodes > 1:
        python = task.torchrun()
    elif processes > 1 and not script:
        python += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    what = [script] if script else ["-m", "engine", "train"]
    libc = ctypes.CDLL(None)
    shim = os.getpid()

    def in_child() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != shim:
            os._exit(1)  # the shim died before it could be watched
        give_way(niceness)

    return subprocess.Popen(
        [*python, *what, str(run)],
        stdin=subprocess.DEVNULL,
        preexec_fn=in_child,
        pass_fds=inherited,
        process_group=0,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"},
    )


def give_way(niceness: int) -> None:
    """Lower the priority of this process by `niceness`, and that of its session.

    Linux shares the processor among sessions first (`sched_autogroup_enabled`, on in most distributions): between the
    trainer and the terminal UI, which are in different sessions, a process's own niceness counts for nothing there.
    """
    os.nice(niceness)
    if niceness:
        with suppress(OSError):  # without autogroups, nothing more is needed
            Path("/proc/self/autogroup").write_text(str(niceness))


def supervise(trainer: subprocess.Popen[bytes], run: Path, task: ThisTask | None) -> set[int]:
    """Wait for the trainer's end, handing on what asks it to stop. The signals that did."""
    asked: set[int] = set()
    while True:
        received = signal.sigwait((*STOP, signal.SIGCHLD))
        if received in STOP:
            if received == KILL:
                tell(workers(trainer.pid), signal.SIGKILL)
                os.killpg(trainer.pid, signal.SIGKILL)
            elif task and task.nodes > 1:
                task.stop_step()
            else:
                # torchrun itself would kill its workers after 30 s, whatever time there is for them
                tell(workers(trainer.pid) or [trainer.pid], signal.SIGTERM)
            with suppress(OSError):
                mark_stopping(run)
            asked.add(received)
        elif os.waitid(os.P_PID, trainer.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(trainer.pid, signal.SIGKILL)  # what it left behind; its pid is ours until it is reaped
            trainer.wait()
            return asked | {each for each in STOP if each in signal.sigpending()}


def tell(pids: list[int], name: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, name)  # not `send_signal`, which might reap it


def open_log(run: Path) -> int:
    return os.open(run / run_files.LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


if __name__ == "__main__":
    sys.exit(main())
