"""What a user does with runs: launch, stop, resume, wait, remove, prune. Command line and terminal UI call these.

None of them needs the run history: the run directories are the truth. What is Slurm's about them: `slurm/`.
"""

from __future__ import annotations

import math
import os
import secrets
import shutil
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.contract import run_files
from engine.contract.errors import UserError
from handreid_tui.launch import devices, file_locks, queue
from handreid_tui.launch.slurm import ledger, sync
from handreid_tui.launch.slurm import stop as on_slurm
from handreid_tui.launch.slurm.request import SlurmRequest
from handreid_tui.launch.slurm.stop import Stopped
from handreid_tui.launch.slurm.submit import submit
from handreid_tui.launch.supervisor import look_after
from handreid_tui.runs.attempt import Attempt, mark_stopping, workers
from handreid_tui.runs.claim import is_claimed
from handreid_tui.runs.directory import create_all, number
from handreid_tui.runs.safe_files import explain, is_file
from handreid_tui.runs.state import State, observe

if TYPE_CHECKING:
    from engine.contract.config import RunConfig

SPARE = run_files.RESUME_FOLDERS  # checkpoints that a finished run can miss


def create_and_launch(runs: Path, configs: list[RunConfig], *, tags: Iterable[str] = (), **asked: Any) -> list[Path]:
    """Make a run directory for each configuration and `launch` them. Raises UserError with nothing left of it."""
    paths = create_all(runs, configs, tags=tags)
    try:
        launch(paths, **asked)
    except UserError:
        with suppress(UserError):
            remove_all(path for path in paths if not is_claimed(path))
        raise
    return paths


def launch(
    paths: Iterable[Path],
    *,
    priority: int = 0,
    gpus: float = 1.0,
    parallel: int = 1,
    slurm: SlurmRequest | None = None,
) -> None:
    """Queue new runs, in this order, and see to it that they are started. Returns at once.

    gpus: how many GPUs a run takes, or which fraction of one. parallel: how many runs may be on the CPU at once. With
    `slurm`, that says what a run takes, and Slurm starts it. Raises UserError, with no run queued, where one cannot be.
    """
    runs = _check_request(paths, gpus, parallel)
    with _one_at_a_time(runs):
        for path in runs:
            if observe(path).status not in ("starting", "lost") or (path / run_files.PROCESS).exists():
                raise UserError(f"Run {path.name} was launched before: use `handreid resume`.")
        if slurm:
            _submit(runs, slurm, resume=False)
        else:
            queue.enqueue_all(runs, priority=priority, gpus=gpus, parallel=parallel)
    ensure_supervised({path.parent for path in runs})


def resume(
    paths: Iterable[Path],
    *,
    priority: int = 0,
    gpus: float = 1.0,
    parallel: int = 1,
    slurm: SlurmRequest | None = None,
    data: Path | None = None,
) -> list[str]:
    """Queue runs that were stopped, failed or lost; each continues from its last good checkpoint. Returns at once.

    Here, or with `slurm` there, wherever a run was before. `data`: where their data set is now, if it was moved.
    Returns what the user should know. Raises UserError, with no run queued, where one has finished, is running or
    queued already, or its data has changed or is gone.
    """
    from handreid_tui.launch.resumed_data import follow_data  # reads data sets: 0.1 s

    runs = _check_request(paths, gpus, parallel)
    with _one_at_a_time(runs):
        for path in runs:
            match observe(path).status:
                case "finished":
                    raise UserError(f"Run {path.name} has finished: there is nothing to resume.")
                case "queued":
                    raise UserError(f"Run {path.name} is already queued.")
                case "running" | "starting":
                    raise UserError(f"Run {path.name} is running: there is nothing to resume.")
        notes = follow_data(runs, data, must_be_here=slurm is None)
        if slurm:
            _submit(runs, slurm, resume=True)
        else:
            _leave_slurm(runs)
            queue.enqueue_all(runs, priority=priority, resume=True, gpus=gpus, parallel=parallel)
    ensure_supervised({path.parent for path in runs})
    return notes


def was_on_slurm(path: Path) -> bool:
    """Whether the latest attempt of the run was a task of Slurm."""
    return bool(Attempt.read(path).slurm)


def stop(path: Path, *, kill: bool = False) -> Stopped:
    """Stop a run: one that waits leaves the queue, one that runs finishes its step and writes a checkpoint.

    A second stop, or `kill`, ends it at once. Returns when the run has heard it, not when it has ended, and says what
    was done. Raises UserError where the run does neither, or runs on another machine.
    """
    if on_slurm.of_slurm([path]):
        return on_slurm.stop([path], kill=kill)[path]
    end = time.monotonic() + 3.0
    while True:
        if not is_claimed(path):
            if _withdraw(path):
                return "withdrawn"
            if not is_claimed(path):
                raise UserError(f"Run {path.name} is not running ({_words(observe(path))}).")
        attempt = Attempt.read(path)
        if attempt.living:
            return _signal(path, attempt, kill=kill or attempt.stopping)
        if time.monotonic() > end:  # claimed, but by nobody that we can see
            where = f"on {attempt.host}" if attempt.host and not attempt.here else "in another container"
            raise UserError(f"Run {path.name} is running {where}: stop it there.")
        time.sleep(0.02)  # a shim has claimed the run, and is about to say who it is


def stop_all(paths: Iterable[Path], *, kill: bool = False) -> dict[Path, Stopped]:
    """Stop each of the runs; one that has ended by itself is left out.

    Those that wait come first, or one of them would start on the device that another leaves.
    """
    paths = list(paths)
    theirs = on_slurm.of_slurm(paths)
    done = on_slurm.stop(theirs, kill=kill)
    for path in sorted(set(paths) - set(theirs), key=lambda path: not is_file(path / run_files.QUEUED)):
        try:
            done[path] = stop(path, kill=kill)
        except UserError:
            if not observe(path).final:
                raise
    return done


def is_stopping(path: Path) -> bool:
    """Whether the run was asked to stop, by a user or by Slurm, and has not ended yet."""
    return Attempt.read(path).stopping and not observe(path).final


def wait(paths: Iterable[Path], timeout: float = math.inf) -> dict[Path, State]:
    """Wait until all the runs have ended, and tell how; those that have not after `timeout` seconds are left out."""
    left, ended = list(paths), dict[Path, State]()
    end, look_again = time.monotonic() + timeout, 0.0
    while True:
        began = time.monotonic()
        states = {path: observe(path) for path in left}
        ended |= {path: state for path, state in states.items() if state.final}
        left = [path for path in left if path not in ended]
        if not left or time.monotonic() > end:
            return ended
        if time.monotonic() > look_again:  # should the supervisor have been killed
            ensure_supervised({path.parent for path, state in states.items() if state.status == "queued"})
            look_again = time.monotonic() + 2.0
        time.sleep(max(0.05, 10 * (time.monotonic() - began)))


def ensure_supervised(folders: Iterable[Path]) -> None:
    """See to it that what waits in these folders of runs will be started, and that what Slurm knows is taken in."""
    for runs in folders:
        try:
            sync.take_in(runs)
            look_after(runs)
        except OSError as error:
            raise UserError(f"The queue of {runs} cannot be processed: {explain(error)}") from None


def size(path: Path) -> int:
    """The bytes that a run, or one of its files or folders, takes on the disk."""
    if path.is_dir() and not path.is_symlink():
        return sum(size(inner) for inner in path.iterdir())
    try:
        return path.lstat().st_blocks * 512
    except FileNotFoundError:
        return 0


def remove(path: Path) -> int:
    """Delete a run directory that does not run; the bytes freed. One that waits leaves the queue."""
    return remove_all([path])


def remove_all(paths: Iterable[Path]) -> int:
    """Delete run directories, none of which is running; the bytes freed. Queued ones leave the queue."""
    paths = let_go(paths)
    freed = 0
    for path in paths:
        freed += size(path)
        with queue.owned(path):
            doomed = path.with_name(f".removed-{secrets.token_hex(8)}")
            path.rename(doomed)  # gone at once for everybody else
            shutil.rmtree(doomed)
    for folder in {path.parent for path in paths}:
        for leftover in folder.glob(".removed-*"):  # of a process killed in here
            shutil.rmtree(leftover, ignore_errors=True)
    return freed


def let_go(paths: Iterable[Path]) -> list[Path]:
    """The run directories, which may be removed now: their tasks on Slurm are cancelled.

    Raises UserError where one is running, is no run directory, or a queued run starts from it.
    """
    from handreid_tui.launch.dependents import check_not_needed

    paths = list(paths)
    for path in paths:
        number(path)
        if path.is_symlink() or not path.is_dir():
            raise UserError(f"There is no run directory {path}.")
        elsewhere = was_on_slurm(path) and observe(path).status in ("running", "starting")  # with a claim unseen here
        if elsewhere or is_claimed(path):
            raise UserError(f"Run {path.name} is running: stop it first.")
    check_not_needed(paths)
    on_slurm.stop(on_slurm.of_slurm(paths), kill=True)
    return paths


def prunable(paths: Iterable[Path]) -> dict[Path, int]:
    """The finished runs that `prune` would free something of, with the bytes.

    The rule: a finished run keeps its best checkpoint, which evaluation and `--pretrained RUN` read; those that serve
    to resume go. A run that has not finished keeps all.
    """
    finished = (path for path in paths if observe(path).status == "finished")
    found = {path: sum(size(path / run_files.CHECKPOINTS / name) for name in SPARE) for path in finished}
    return {path: freed for path, freed in found.items() if freed}


def prune(paths: Iterable[Path]) -> int:
    """Delete what `prunable` tells; the bytes freed."""
    freed = 0
    for path, bytes_ in prunable(paths).items():
        if (path / run_files.CHECKPOINTS).is_symlink():
            continue
        with queue.owned(path):
            for name in SPARE:
                shutil.rmtree(path / run_files.CHECKPOINTS / name, ignore_errors=True)
        freed += bytes_
    return freed


def _check_request(paths: Iterable[Path], gpus: float, parallel: int) -> list[Path]:
    if not (1 / 12 <= gpus < 1 or (1 <= gpus <= 64 and gpus == int(gpus))):
        raise UserError(f"A run uses 1, 2, … GPUs or a fraction of one from 1/12 up, but got {gpus:g}.")
    if not 1 <= parallel <= 1024:
        raise UserError(f"From 1 to 1024 runs may train at once, but got {parallel}.", "parallel")
    runs = [path.absolute() for path in paths]
    for path in runs:
        number(path)
        if not is_file(path / run_files.CONFIG):
            raise UserError(f"There is no configuration in {path}.")
        if link := next((inner for inner in path.rglob("*") if inner.is_symlink()), None):
            raise UserError(f"{link} is a link, and a run writes into its own directory only; remove it to continue.")
        if gpus > 1:
            devices.check(queue.Waiting(path).device, gpus)
    return runs


@contextmanager
def _one_at_a_time(runs: list[Path]) -> Iterator[None]:
    """Between looking at the state of runs and queueing them, nobody else queues them."""
    with ExitStack() as stack:
        for folder in sorted({path.parent for path in runs}):
            try:
                stack.enter_context(file_locks.hold(folder / run_files.QUEUE_LOCK))
            except OSError as error:
                raise UserError(f"The queue of {folder} cannot be changed: {explain(error)}") from None
        yield


def _submit(runs: list[Path], request: SlurmRequest, *, resume: bool) -> None:
    """Queue the runs on Slurm: first in their directories, for a task may start at once. All or none."""
    groups: dict[tuple[Path, bool], list[Path]] = {}
    for path in runs:
        groups.setdefault((path.parent, queue.Waiting(path).device == "cpu"), []).append(path)
    with ExitStack() as stack:
        for folder in sorted({folder for folder, _ in groups}):
            stack.enter_context(ledger.locked(folder))
        try:
            queue.enqueue_all(runs, resume=resume, on=queue.SLURM)
            # what runs on the CPU asks for no GPU
            submit([(paths, replace(request, gpus=0) if cpu else request) for (_, cpu), paths in groups.items()])
        except BaseException:
            for path in runs:
                (path / run_files.QUEUED).unlink(missing_ok=True)
            raise


def _leave_slurm(runs: list[Path]) -> None:
    """Forget the tasks that these runs had: what Slurm says of them is theirs no more."""
    for folder in {path.parent for path in runs}:
        if ledger.has_open_tasks(folder):
            with ledger.locked(folder):
                ledger.close(folder, [path.name for path in runs if path.parent == folder])


def _withdraw(path: Path) -> bool:
    if not is_file(path / run_files.QUEUED):
        return False
    try:
        return queue.withdraw(path)
    except UserError:
        if is_claimed(path):
            return False  # a shim was faster
        raise


def _signal(path: Path, attempt: Attempt, *, kill: bool) -> Stopped:
    """Ask the shim, which records that somebody did and asks the trainer; the trainer itself where the shim is dead."""
    shim, trainer = attempt.shim, attempt.trainer
    asked = shim.send(signal.SIGTERM) if shim else False
    if trainer and (kill or not asked):
        for worker in workers(trainer.pid) if kill and trainer.alive else []:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        trainer.send(signal.SIGKILL if kill else signal.SIGTERM, group=kill)
    if not asked:
        with suppress(OSError):
            mark_stopping(path)
    heard = time.monotonic() + 1.0
    while (now := Attempt.read(path)).living and not now.stopping and time.monotonic() < heard:
        time.sleep(0.01)
    return "killed" if kill else "stopping"


def _words(state: State) -> str:
    return f"{state.status} ({state.reason})" if state.reason else state.status
