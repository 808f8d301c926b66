"""Processes of a run by name, not by number: a pid with its start time and boot, so that a reused pid is never ours."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract import run_files
from handreid_tui.runs.claim import boot_id, process_started
from handreid_tui.runs.safe_files import plain, read_json, write_json


@dataclass(frozen=True)
class Process:
    """A process on this machine, in this boot. `started` is in clock ticks since boot."""

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        return process_started(self.pid) == self.started

    def send(self, signal_: int, *, group: bool = False) -> bool:
        """Signal the process, or the whole group that it leads; False where it is gone."""
        try:
            handle = os.pidfd_open(self.pid)  # from here on the pid cannot come to mean another process
        except ProcessLookupError:
            return False
        except OSError:  # a kernel before 5.3, or a container that forbids it
            handle = None
        try:
            if not self.alive:
                return False
            if group:
                os.killpg(self.pid, signal_)
            elif handle is None:
                os.kill(self.pid, signal_)
            else:
                signal.pidfd_send_signal(handle, signal_)
            return True
        except ProcessLookupError:
            return False
        finally:
            if handle is not None:
                os.close(handle)


@dataclass(frozen=True)
class Attempt:
    """What process.json says of the latest start of a run. A process is None where it was never written.

    slurm: the task of Slurm that it is, like 41_3, "" where it is none.
    """

    host: str
    here: bool
    shim: Process | None
    trainer: Process | None
    device: str
    stopping: bool
    slurm: str = ""

    @classmethod
    def read(cls, path: Path) -> Attempt:
        raw = read_json(path / run_files.PROCESS)
        return cls(
            host=plain(raw.get("host"), 100),
            here=bool(raw) and raw.get("boot_id") == boot_id(),
            shim=_process(raw, "shim"),
            trainer=_process(raw, "trainer"),
            device=plain(raw.get("device"), 200),
            stopping="stopping" in raw,
            slurm=plain(raw.get("slurm"), 100),
        )

    @property
    def living(self) -> tuple[Process, ...]:
        """Shim and trainer, those of them that are alive on this machine."""
        known = (self.shim, self.trainer) if self.here else ()
        return tuple(process for process in known if process and process.alive)


def workers(torchrun: int) -> list[int]:
    """The processes of `-m engine` that this torchrun started, each the leader of a group of its own; else none."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):  # it has ended meanwhile
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == torchrun and b"\0-m\0engine\0" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


def _process(raw: dict[str, Any], name: str) -> Process | None:
    pid, started = raw.get(name), raw.get(f"{name}_started")
    return Process(pid, started) if isinstance(pid, int) and isinstance(started, int) and pid > 1 else None


def mark_stopping(path: Path) -> None:
    """Note in process.json that the run was asked to stop; its shim does, while it lives. Raises OSError."""
    _mark(path, "stopping")


def heard_at(path: Path) -> Any:
    """When the shim last heard a wish to stop, the user's or Slurm's; None where it never did."""
    return read_json(path / run_files.PROCESS).get("stopping")


def mark_asked(path: Path) -> None:
    """Note in process.json that a user asked to stop: then nobody else queues the run again. Raises OSError."""
    _mark(path, "asked")


def note_task(path: Path, task: str) -> None:
    """Note in process.json which task of Slurm the run was, where that is over without a shim. Raises OSError."""
    own = {"slurm": task, "asked": round(time.time(), 3)}
    write_json(path / run_files.PROCESS, read_json(path / run_files.PROCESS) | own)


def take_back_asked(path: Path) -> None:
    """The run never heard of it. Raises OSError."""
    about = read_json(path / run_files.PROCESS)
    about.pop("asked", None)
    write_json(path / run_files.PROCESS, about)


def was_asked_to_stop(path: Path) -> bool:
    """Whether a user asked the latest attempt to stop, where that matters: on Slurm."""
    return "asked" in read_json(path / run_files.PROCESS)


def _mark(path: Path, key: str) -> None:
    write_json(path / run_files.PROCESS, read_json(path / run_files.PROCESS) | {key: round(time.time(), 3)})
