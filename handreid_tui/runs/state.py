"""The state of a run, as its files and its claim report it.

The files are described in `engine.contract.run_files`. A shim claims the run, removes exit.json, writes process.json,
starts the trainer, removes queued.json, waits, writes exit.json, and releases the claim.
The standard library alone: the shim imports this too.
"""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.contract import run_files
from handreid_tui.runs.claim import boot_id, is_claimed, process_started
from handreid_tui.runs.log_text import last_line
from handreid_tui.runs.safe_files import (
    is_file,
    modified,
    plain,
    read_bytes,
    read_json,
    size_and_time,
)

if TYPE_CHECKING:
    from engine.contract.events import RunEnded

FINAL = ("finished", "stopped", "failed", "lost")
STALLED_AFTER = 600.0  # seconds without an event
LOST_AFTER = 3600.0  # the same, where only events can tell (another host, or a trainer started by hand)


@dataclass(frozen=True)
class State:
    """queued, starting, running, finished, stopped, failed or lost; why; and whether it runs without any event."""

    status: str
    reason: str = ""
    stalled: bool = False

    @property
    def final(self) -> bool:
        return self.status in FINAL


def observe(path: Path, *, now: float | None = None, stalled_after: float = STALLED_AFTER) -> State:
    """What the run in `path` does at this moment. Sure on the machine that runs it; elsewhere, events must tell."""
    queued = is_file(path / run_files.QUEUED)  # looked at before the claim: a shim claims first, then takes this away
    process = read_json(path / run_files.PROCESS)
    began = _offset(process.get("events"))
    size, last_event = size_and_time(path / run_files.EVENTS)
    last_sign = max(filter(None, (last_event, modified(path / run_files.PROCESS))), default=None)
    silence = (time.time() if now is None else now) - last_sign if last_sign else 0.0

    def alive(reason: str = "") -> State:
        return State("running" if size > began else "starting", reason, silence > stalled_after)

    if is_claimed(path):
        return alive()
    if queued:
        return State("queued")
    if ended := _ended(path / run_files.EVENTS, began, size):
        return ended
    if is_file(path / run_files.EXIT):
        return _died(path, read_json(path / run_files.EXIT).get("status"))
    if process and _is_here(process):
        return _without_shim(process, alive)
    if last_sign is None:
        made = modified(path / run_files.META) or 0.0
        fresh = (time.time() if now is None else now) - made < 60
        return State("starting") if fresh else State("lost", "The run was never started.")
    if silence > LOST_AFTER:
        where = f" on {plain(process['host'], 100)}" if "host" in process else ""
        return State("lost", f"No events for {silence / 3600:.0f} h{where}.")
    return alive()


def _ended(events: Path, start: int, size: int) -> State | None:
    """The state that the last event tells, if that is `ended` and lies behind byte `start`."""
    from engine.contract.events import RunEnded, RunStarted, parse  # 7 ms, which a shim need not pay at its start

    window = max(start, size - (1 << 20), 0)
    block = read_bytes(events, window, 1 << 20) or b""
    for line in reversed(block[: block.rfind(b"\n") + 1].splitlines()):
        if b'"started"' not in line and b'"ended"' not in line:
            continue
        event = parse(line)
        if isinstance(event, RunStarted):
            return None
        if isinstance(event, RunEnded) and event.status in ("finished", "stopped", "failed"):
            return State(event.status, ended_reason(event))
    return None


def ended_reason(event: RunEnded) -> str:
    """The sentence in an event that ends a run, "" where it has none."""
    return plain(event.reason.message, 500) if event.reason else ""


def _died(path: Path, status: Any) -> State:
    if not isinstance(status, int) or isinstance(status, bool):
        return State("failed", f"{run_files.EXIT} is damaged; see {run_files.LOG}.")
    if status < 0:
        hint = " (out of memory?)" if -status == signal.SIGKILL else ""
        return State("failed", f"killed by {_signal_name(-status)}{hint}")
    log = read_bytes(path / run_files.LOG, max(0, size_and_time(path / run_files.LOG)[0] - 4096), 4096) or b""
    reason = f"The trainer exited with status {status} and wrote no result"
    output = plain(last_line(log), 300)
    return State("failed", f"{reason}: {output}" if output else f"{reason}.")


def _without_shim(process: dict[str, Any], alive: Callable[[str], State]) -> State:
    if process.get("boot_id") != boot_id():
        return State("lost", "The machine was restarted.")
    pid, started = process.get("trainer"), process.get("trainer_started")
    if isinstance(pid, int) and started is not None and process_started(pid) == started:
        return alive("The shim was killed; the trainer is about to stop.")
    return State("lost", "The shim was killed.")


def _is_here(process: dict[str, Any]) -> bool:
    return bool(boot_id() and process.get("boot_id") == boot_id()) or process.get("host") == socket.gethostname()


def _offset(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _signal_name(value: int) -> str:
    try:
        return signal.Signals(value).name
    except ValueError:
        return f"signal {value}"
