"""Takes in what only Slurm knows: one `squeue` for all runs, and what it means written into the run directories.

The run directory is the truth: the shim writes there how a run goes. Slurm is asked, at most every ten seconds by all
managers together, for what no shim can tell: why a task waits, and that it ended before or without its shim.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.errors import UserError
from handreid_tui.files import is_file, read_json, write_json
from handreid_tui.launch import locks, queue
from handreid_tui.launch.ending import events_size, tell_ended
from handreid_tui.launch.processes import note_task, was_asked_to_stop
from handreid_tui.launch.slurm import tasks
from handreid_tui.launch.slurm.commands import call
from handreid_tui.launch.slurm.tasks import Task
from handreid_tui.state import is_claimed, observe

LOOK_EVERY = 10.0  # seconds
FORGOTTEN_AFTER = 20.0  # seconds after which a task that squeue does not list is over
FIELDS = "%F|%K|%T|%r"  # job and index of the array, state, reason; every Slurm has these, and not all have --json
SQUEUE = ("squeue", "--noheader", "--array", "--states=all", f"--format={FIELDS}")

WAITS = ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT")
OVER = {  # Slurm's word for a task that is over: our word, and why; {job} is the task
    "CANCELLED": ("stopped", "Its Slurm job {job} was cancelled from outside."),
    "DEADLINE": ("stopped", "Slurm ended its job {job} at its deadline."),
    "PREEMPTED": ("stopped", "Slurm gave the place of its job {job} to another, and does not queue it again."),
    "REVOKED": ("stopped", "Slurm revoked its job {job}."),
    "COMPLETED": ("failed", "Its Slurm job {job} ended without training; see {log}."),
    "FAILED": ("failed", "Its Slurm job {job} failed outside the training; see {log}."),
    "TIMEOUT": ("failed", "Slurm ended its job {job} at the time limit, before a checkpoint could be written."),
    "OUT_OF_MEMORY": ("failed", "Its Slurm job {job} took more memory than it had asked for; see --mem of sbatch."),
    "NODE_FAIL": ("failed", "The node of its Slurm job {job} failed."),
    "BOOT_FAIL": ("failed", "The node of its Slurm job {job} did not start."),
    "": ("failed", "Slurm does not know its job {job} any more, and it left no word."),
    "GONE": ("stopped", "Its Slurm job {job} was cancelled from outside."),
}


@dataclass(frozen=True)
class Word:
    """What Slurm says of one task: PENDING and Resources, RUNNING and None."""

    state: str
    reason: str


def take_in(runs: Path, *, every: float = LOOK_EVERY) -> None:
    """Ask Slurm, unless somebody did within `every` seconds, and write down what is over or was queued again.

    Slurm not answering is no error here: `why_waiting` says so.
    """
    if not tasks.has_open_tasks(runs) or _age(runs) < every:
        return
    with suppress(OSError):  # somebody else's runs, or a full disk: nothing is noted
        lock = locks.take(tasks.folder(runs) / ".lock")
        if lock is None:
            return
        try:
            if _age(runs) >= every:
                _look(runs)
        finally:
            os.close(lock)


def why_waiting(runs: Path) -> dict[str, str]:
    """Why Slurm lets each of its tasks wait, in Slurm's words, by the name of the run."""
    last = read_json(_snapshot(runs))
    said = last.get("waits")
    if isinstance(last.get("error"), str):
        return dict.fromkeys(tasks.open_tasks(runs), f"Slurm does not answer: {last['error']}")
    return {str(name): f"Slurm: {why}" for name, why in said.items()} if isinstance(said, dict) else {}


def parse_squeue(text: str) -> dict[tuple[int, int | None], Word]:
    """Lines of `FIELDS` by job and index. Tasks that were cancelled before any of them began have one line, without
    an index.
    """
    words: dict[tuple[int, int | None], Word] = {}
    for line in text.splitlines():
        job, index, state, reason = (*line.strip().split("|", 3), "", "", "")[:4]
        if job.isdecimal():
            words[int(job), int(index) if index.isdecimal() else None] = Word(state, reason)
    return words


def _look(runs: Path) -> None:
    asked = time.time()
    try:
        words = parse_squeue(call([*SQUEUE, f"--user={os.getuid()}"], seconds=10))
    except UserError as error:
        write_json(_snapshot(runs), {"t": time.time(), "error": str(error)})
        return
    open_now, over, waits = tasks.open_tasks(runs), [], {}
    for name, task in open_now.items():
        word = words.get((task.job, task.index)) or words.get((task.job, None))
        if word is None and asked - task.since < FORGOTTEN_AFTER:
            continue  # submitted a moment ago
        state = word.state if word else _unlisted(runs / name)
        if state in WAITS:
            waits[name] = word.reason if word and word.reason != "None" else "submitted"
            _queued_again(runs / name, task, asked)
        elif state in OVER and _end(runs / name, task, state):
            over.append(task)
    if over:
        tasks.close(runs, over)
    write_json(_snapshot(runs), {"t": time.time(), "waits": waits})


def _unlisted(path: Path) -> str:
    """What became of a task that squeue does not list: one cancelled while it waited is forgotten at once."""
    return "GONE" if is_file(path / "queued.json") and not is_claimed(path) else ""


def _queued_again(path: Path, task: Task, asked: float) -> None:
    """Slurm starts a task again by itself after a node failed or another job had to pass: then its run waits."""
    started = read_json(path / "process.json").get("t")
    new = isinstance(started, float | int) and started > asked - 30  # since Slurm was asked, by another clock
    if new or is_file(path / "queued.json") or is_claimed(path) or not _is_resumable(path):
        return
    with suppress(UserError), queue.owned(path):
        queue.Waiting(path, place=task.since, resume=True, on="slurm").write()


def _is_resumable(path: Path) -> bool:
    return path.is_dir() and observe(path).status != "finished" and not was_asked_to_stop(path)


def _end(path: Path, task: Task, state: str) -> bool:
    """Write down the end that no shim could; whether the run is known to have ended now."""
    if not path.is_dir() or observe(path).final:
        return True
    status, why = OVER[state]
    try:
        with queue.owned(path):
            if not observe(path).final:
                log = f"{tasks.folder(path.parent)}/{task.job}.out"
                tell_ended(path, status, why.format(job=task.id, log=log), events_size(path))
                note_task(path, task.id)
            (path / "queued.json").unlink(missing_ok=True)
    except UserError:  # its shim lives, and is about to write the end itself
        return False
    return True


def _snapshot(runs: Path) -> Path:
    return tasks.folder(runs) / "squeue.json"


def _age(runs: Path) -> float:
    """Seconds since Slurm was asked last."""
    last = read_json(_snapshot(runs)).get("t")
    age = time.time() - last if isinstance(last, float | int) else float("inf")
    return age if age >= 0 else float("inf")
