"""The runs of a sweep as their directories tell them: what each was for, and how it ended. No file keeps a state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from engine.contract import run_files
from engine.contract.events import RunEnded, read_events
from handreid_tui.runs.attempt import Attempt
from handreid_tui.runs.directory import list_runs
from handreid_tui.runs.ending import TAIL, events_size
from handreid_tui.runs.safe_files import is_file, read_json
from handreid_tui.runs.state import observe
from handreid_tui.sweeps.roles import CONFIRM, ROLES

RESUMES = 3  # of a lost run


@dataclass(frozen=True, order=True)
class TrialTask:
    """One training that a sweep asks for. fold: the held-out part of the people, -1 for a confirmation."""

    role: str
    combo: str
    trial: int
    fold: int
    seed: int

    def as_json(self, sweep: int, values: dict[str, Any]) -> dict[str, Any]:
        return {"sweep": sweep} | asdict(self) | {"values": values}


@dataclass(frozen=True)
class SweepRun:
    """A run of a sweep. value: its best validation mAP, 0 where the loss was not finite, None where it has none.

    failure: the kind of reason of a failed run, such as `out_of_memory`.
    """

    task: TrialTask
    path: Path
    status: str
    value: float | None = None
    reason: str = ""
    failure: str = ""

    @property
    def settled(self) -> bool:
        """Whether nothing more is to be expected of it, unless somebody resumes it."""
        return self.status in ("finished", "stopped", "failed")

    @property
    def never_started(self) -> bool:
        """Made, but never queued: whoever made it was killed in between."""
        return self.status in ("starting", "lost") and not any(
            is_file(self.path / name) for name in (run_files.QUEUED, run_files.PROCESS, run_files.EVENTS)
        )


class Reader:
    """Reads the runs of one sweep. What a finished run said is read once, so that a look costs little."""

    def __init__(self, runs: Path, sweep: int) -> None:
        self._runs, self._sweep = runs, sweep
        self._tasks: dict[Path, TrialTask | None] = {}
        self._finished: dict[Path, SweepRun] = {}

    def read(self) -> dict[TrialTask, SweepRun]:
        """The runs that there are by now, in the order of their numbers."""
        found: dict[TrialTask, SweepRun] = {}
        resumed = read_json(resumed_path(self._runs, self._sweep))
        for path in list_runs(self._runs):
            if path not in self._tasks:
                self._tasks[path] = read_task(path, self._sweep)
            if task := self._tasks[path]:
                run = self._finished.get(path) or read_run(path, task)
                if run.status == "lost" and resumed.get(path.name, 0) > RESUMES:
                    run = replace(run, status="failed", reason=f"The run was lost {RESUMES + 1} times.")
                if run.status == "finished":
                    self._finished[path] = run
                found.setdefault(task, run)
        return found


def resumed_path(runs: Path, sweep: int) -> Path:
    """Where it is noted how often each lost run of a sweep was resumed."""
    return runs / run_files.SWEEPS / f"{sweep:04d}.resumed"


def read_task(path: Path, sweep: int | None = None) -> TrialTask | None:
    """What the run is for in its sweep; None where it is of none, or of another than `sweep`."""
    raw = read_json(path / run_files.SWEEP)
    if not raw or (sweep is not None and raw.get("sweep") != sweep) or raw.get("role") not in ROLES:
        return None
    trial, fold, seed = (raw.get(key) for key in ("trial", "fold", "seed"))
    if not (isinstance(trial, int) and isinstance(fold, int) and isinstance(seed, int)):
        return None
    return TrialTask(raw["role"], str(raw.get("combo")), trial, fold, seed)


def read_run(path: Path, task: TrialTask) -> SweepRun:
    """How the run is at this moment. One whose trainer or shim was killed, by no user, counts as lost."""
    state = observe(path)
    if state.status not in ("finished", "failed", "stopped"):
        return SweepRun(task, path, state.status, reason=state.reason)
    ended = _last_end(path)
    summary, kind = ended.summary, ended.reason.kind if ended.reason else ""
    if state.status == "stopped":
        by_shim = ended.reason is None and not Attempt.read(path).stopping  # its trainer saved as the shim died
        return SweepRun(task, path, "lost" if by_shim else "stopped", reason=state.reason)
    exit_status = read_json(path / run_files.EXIT).get("status")
    if state.status == "failed" and isinstance(exit_status, int) and exit_status < 0:  # a signal
        return SweepRun(task, path, "lost", reason=state.reason)
    if state.status == "failed":
        diverged = kind == "nan"  # a result: these settings do not train
        return SweepRun(task, path, "finished" if diverged else "failed", 0.0 if diverged else None, state.reason, kind)
    key = "mAP" if task.role == CONFIRM else "validation_mAP"
    value = summary.get(key) if summary else None
    number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    return SweepRun(task, path, "finished", number)


def _last_end(path: Path) -> RunEnded:
    events = read_events(path / run_files.EVENTS, max(0, events_size(path) - TAIL)).events
    return next((event for event in reversed(events) if isinstance(event, RunEnded)), RunEnded())


def equal_failures(runs: Iterable[SweepRun], count: int) -> str:
    """The reason of the first `count` runs in a row, by their numbers, that failed alike; "" where there are none."""
    reason, row = "", 0
    for run in runs:
        if run.status != "failed":
            row = 0
            continue
        row = row + 1 if row and run.reason == reason else 1
        reason = run.reason
        if row == count:
            return reason
    return ""
