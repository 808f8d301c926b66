"""Takes in what only Slurm knows: one `squeue` for all runs, and what it means written into the run directories.

The run directory is the truth: the shim writes there how a run goes. Slurm is asked, at most every ten seconds by all
managers together, for what no shim can tell: why a task waits, and that it ended before or without its shim.
"""

from __future__ import annotations

import math
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from engine.contract import run_files
from engine.contract.errors import UserError
from handreid_tui.launch import queue
from handreid_tui.launch.slurm import ledger
from handreid_tui.launch.slurm.client import SOON, call, cancel
from handreid_tui.launch.slurm.ledger import SlurmTask
from handreid_tui.launch.slurm.submit import this_cluster
from handreid_tui.runs.attempt import Attempt, note_task, was_asked_to_stop
from handreid_tui.runs.claim import is_claimed
from handreid_tui.runs.ending import events_size, tell_ended
from handreid_tui.runs.safe_files import is_file, modified, plain, read_bytes, read_json, size_and_time, write_json
from handreid_tui.runs.state import observe

LOOK_EVERY = 10.0  # seconds
FORGOTTEN_AFTER = 20.0  # seconds after which a task that squeue does not list is over
LEFT_OVER_AFTER = 120.0  # seconds; a network file system may show that late that a run waits
FIELDS = "%F|%K|%T|%r"  # job and index of the array, state, reason; every Slurm has these, and not all have --json
SQUEUE = ("squeue", "--noheader", "--array", "--states=all", f"--format={FIELDS}")

WAITS = ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT")
OVER = {  # Slurm's word for a task that is over: our word, and why; {job} is the task, {see} names what it printed
    "CANCELLED": ("stopped", "Slurm job {job} was cancelled from outside."),
    "DEADLINE": ("stopped", "Slurm ended job {job} at its deadline."),
    "PREEMPTED": ("stopped", "Slurm preempted job {job} and does not requeue it."),
    "REVOKED": ("stopped", "Slurm revoked job {job}."),
    "COMPLETED": ("failed", "Slurm job {job} ended without training{see}."),
    "FAILED": ("failed", "Slurm job {job} failed outside the training{see}."),
    "TIMEOUT": ("failed", "Slurm ended job {job} at the time limit, before a checkpoint could be written."),
    "OUT_OF_MEMORY": ("failed", "Slurm job {job} used more memory than it had requested; see --mem of sbatch."),
    "NODE_FAIL": ("failed", "The node of Slurm job {job} failed."),
    "BOOT_FAIL": ("failed", "The node of Slurm job {job} did not start."),
    "": ("failed", "Slurm no longer lists job {job}, and the job wrote no result."),
    "GONE": ("stopped", "Slurm job {job} was cancelled from outside."),
}
GONE_WITH_OUTPUT = "Slurm job {job} ended before it began to train, or was cancelled{see}."


@dataclass(frozen=True)
class TaskState:
    """What Slurm says of one task: PENDING and Resources, RUNNING and None."""

    state: str
    reason: str


def take_in(runs: Path, *, every: float = LOOK_EVERY) -> None:
    """Ask Slurm, unless somebody did within `every` seconds, and write down what is over or was queued again.

    Slurm not answering is no error here: `why_waiting` says so.
    """
    if not ledger.has_open_tasks(runs) or _age(runs) < every:
        return
    with suppress(OSError, UserError), ledger.locked(runs, 0):  # somebody looks, somebody else's runs, a full disk
        if _age(runs) >= every:
            _look(runs)


def why_waiting(runs: Path) -> dict[str, str]:
    """Why Slurm lets each of its tasks wait, in Slurm's words, by the name of the run."""
    last, known = read_json(_snapshot(runs), ledger.LARGEST), ledger.open_tasks(runs)
    waits, error = last.get("waits"), last.get("error")
    lost = {run.path.name for run in queue.waiting(runs, queue.SLURM)} - known.keys()
    words = dict.fromkeys(lost, "Slurm has no job for it: stop it, and resume it")
    if isinstance(error, str):
        return words | dict.fromkeys(known, plain(f"Slurm does not answer: {error}", 300))
    reasons = waits if isinstance(waits, dict) else {}
    return words | {name: plain(f"Slurm: {reasons[name]}", 300) for name in known if name in reasons}


def parse_squeue(text: str) -> dict[tuple[int, int | None], TaskState]:
    """Lines of `FIELDS` by job and index. Tasks that were cancelled before any of them began have one line, without
    an index.
    """
    words: dict[tuple[int, int | None], TaskState] = {}
    for line in text.splitlines():
        job, index, state, reason = (*line.strip().split("|", 3), "", "", "")[:4]
        if job.isdecimal():
            words[int(job), int(index) if index.isdecimal() else None] = TaskState(state, reason)
    return words


def _look(runs: Path) -> None:
    asked, me = time.time(), os.getuid()
    try:
        cluster = this_cluster_name()
        words = parse_squeue(call([*SQUEUE, f"--user={me}"], seconds=SOON))
    except UserError as error:
        write_json(_snapshot(runs), {"t": time.time(), "error": str(error)})
        return
    mine = {name: task for name, task in ledger.open_tasks(runs).items() if (task.cluster, task.user) == (cluster, me)}
    over, waits, left_over = [], {}, {}
    for name, task in mine.items():
        word = words.get((task.job, task.index)) or words.get((task.job, None))
        if word is None and asked - task.since < FORGOTTEN_AFTER:
            continue  # submitted a moment ago
        state = word.state if word else _unlisted(runs / name)
        if state in WAITS and not _is_waited_for(runs / name, task, asked):
            left_over[name] = task.id
        elif state in WAITS:
            waits[name] = word.reason if word and word.reason != "None" else "submitted"
        elif state in OVER and _end(runs / name, task, state):
            over.append(name)
    with suppress(UserError):  # the next look tries again
        cancel(list(left_over.values()))
        over += left_over
    if over:
        ledger.close(runs, over)
    write_json(_snapshot(runs), {"t": time.time(), "waits": waits})


def _unlisted(path: Path) -> str:
    """What became of a task that squeue does not list: one cancelled while it waited is forgotten at once."""
    return "GONE" if is_file(path / run_files.QUEUED) and not is_claimed(path) else ""


def _is_waited_for(path: Path, task: SlurmTask, asked: float) -> bool:
    """Whether the run of a task that waits still wants it; not where scancel failed as the run was stopped or removed.

    Slurm starts a task again by itself after a node failed or another job had to pass: then its run waits, too.
    """
    started = read_json(path / run_files.PROCESS).get("t")
    new = isinstance(started, float | int) and started > asked - 30  # since Slurm was asked, by another clock
    if new or is_file(path / run_files.QUEUED) or is_claimed(path):
        return True
    if not _is_resumable(path) or Attempt.read(path).slurm != task.id:  # or it has gone on elsewhere since
        return asked - task.since < LEFT_OVER_AFTER
    with suppress(UserError), queue.owned(path):
        queue.Waiting(path, place=task.since, resume=True, on="slurm").write()
    return True


def _is_resumable(path: Path) -> bool:
    return _is_there(path) and observe(path).status != "finished" and not was_asked_to_stop(path)


def _end(path: Path, task: SlurmTask, state: str) -> bool:
    """Write down the end that no shim could; whether the task is known to be over now."""
    if not _is_there(path) or observe(path).final or not _is_of(path, task):
        return True
    see = _see(path, task)
    status, why = OVER[state]
    if state == "GONE" and see:
        why = GONE_WITH_OUTPUT
    try:
        with queue.owned(path):
            if not observe(path).final and _is_of(path, task):
                tell_ended(path, status, why.format(job=task.id, see=see), events_size(path))
                (path / run_files.QUEUED).unlink(missing_ok=True)
                with suppress(OSError):
                    note_task(path, task.id)
    except UserError:  # its shim lives, and is about to write the end itself
        return False
    return True


def _see(path: Path, task: SlurmTask) -> str:
    """Where to read what the task printed: trainer.log from the moment that its shim had the run, JOB.out before."""
    log, out = path / run_files.LOG, ledger.folder(path.parent) / f"{task.job}{run_files.SLURM_OUTPUT}"
    lines = (read_bytes(out, limit=1 << 20) or b"").splitlines()
    # Slurm tells there of each task of the array that was cancelled while it ran
    outputs = [str(out)] if any(line.strip() and b" CANCELLED AT " not in line for line in lines) else []
    if size_and_time(log)[0] and (modified(log) or 0.0) > task.since:
        outputs.insert(0, str(log))
    return f"; see {' and '.join(outputs)}" if outputs else ""


def _is_of(path: Path, task: SlurmTask) -> bool:
    """Whether the run waits for this task or goes on in it; it may have been resumed elsewhere."""
    if is_file(path / run_files.QUEUED):
        return queue.read(path).on == queue.SLURM
    return Attempt.read(path).slurm == task.id


def _is_there(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _snapshot(runs: Path) -> Path:
    return ledger.folder(runs) / run_files.SQUEUE


@cache
def this_cluster_name() -> str:
    """Asked once a process. Raises UserError."""
    return this_cluster(SOON).name


_seen: dict[Path, tuple[float, float]] = {}  # by folder of runs: the time of the last snapshot, and when we saw it


def _age(runs: Path) -> float:
    """Seconds since Slurm was asked last, by this process's own clock: those of two hosts may differ."""
    written, now = modified(_snapshot(runs)), time.monotonic()
    if written is None:
        return math.inf
    if runs not in _seen:  # written before this process began: the clocks must tell
        _seen[runs] = written, now - abs(time.time() - written)
    elif _seen[runs][0] != written:
        _seen[runs] = written, now
    return now - _seen[runs][1]
