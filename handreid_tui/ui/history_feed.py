"""The one loop that reads: it takes new events into the run history and tells the app what changed.

It runs in a thread, and imports there, after the first frame, what reads: sqlmodel, Slurm, the devices.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from textual.message import Message
from textual.worker import get_current_worker

from engine.contract import run_files
from engine.contract.errors import UserError
from handreid_tui.settings import Places
from handreid_tui.text.manager_log import log_bug

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from handreid_tui.history import RunRow
    from handreid_tui.ui.device_usage import Device

ACTIVE = ("running", "starting", "queued")
TICK_ACTIVE = 0.2  # seconds between two looks at the disk while a run goes on
TICK_IDLE = 0.4
DEVICES_EVERY = 2.0
SWEEPS_EVERY = 10.0
FOLDERS_EVERY = 5.0


@dataclass(frozen=True)
class Snapshot:
    """All runs by number, oldest first, as the history held them at one moment.

    settings: by run, the configuration keys in which runs differ. loaded: whether the history was read at all.
    left_out: a sentence for each folder that holds a run and is not listed.
    """

    runs: Mapping[int, RunRow] = field(default_factory=lambda: MappingProxyType({}))
    settings: Mapping[int, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))
    devices: tuple[Device, ...] = ()
    loaded: bool = False
    history: Engine | None = None
    left_out: tuple[str, ...] = ()

    @property
    def opened(self) -> Engine:
        """The run history, once it was opened: who has a run from a snapshot has that too."""
        if self.history is None:
            raise UserError("The run history is not open yet: try again.")
        return self.history


class RunsChanged(Message):
    """`changed`: the numbers of the runs that are new, different or gone since the last message; None for all."""

    def __init__(self, snapshot: Snapshot, changed: frozenset[int] | None) -> None:
        super().__init__()
        self.snapshot = snapshot
        self.changed = changed


class FeedFailed(Message):
    """The history cannot be read at the moment; the feed tries again."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class Feed:
    """Reads until it is closed."""

    def __init__(self, places: Places, post: Callable[[Message], object]) -> None:
        self._places = places
        self._post = post
        self._woken = threading.Event()
        self._closed = False
        self._failure = ""
        self._slurm: threading.Thread | None = None
        self._sweeps: threading.Thread | None = None
        self._looked_at_sweeps = 0.0

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        self._closed = True
        self._woken.set()

    def run(self) -> None:
        """The loop. A problem that a user can mend is told once, and tried again until it is mended."""
        while not self._closed and not get_current_worker().is_cancelled:
            try:
                self._read_on()
            except UserError as error:
                self._fail(str(error))
            except Exception as error:  # the UI stays up whatever the disk does
                if self._fail(f"The run history cannot be read: {error}."):
                    log_bug("reading the run history")
            self._woken.wait(2.0)
            self._woken.clear()

    def _fail(self, text: str) -> bool:
        """Report the failure, unless it is that of the last time; whether it was reported."""
        if text == self._failure:
            return False
        self._failure = text
        self._post(FeedFailed(text))
        return True

    def _read_on(self) -> None:
        from handreid_tui.history import ingest, list_runs, open_history
        from handreid_tui.history.varying import varying_settings
        from handreid_tui.runs.directory import left_out
        from handreid_tui.ui.device_usage import Devices

        history = open_history(self._places.db)
        watched = sqlite3.connect(self._places.db, timeout=5.0)
        devices = Devices()
        try:
            snapshot, version = Snapshot(history=history), None
            looked_at_devices = looked_at_folders = 0.0
            while not self._closed and not get_current_worker().is_cancelled:
                problems = ingest(history, self._places.runs).problems
                before, snapshot = snapshot, snapshot
                # Another manager may have taken the events in: ask the file whether anything changed, not ingest.
                now = watched.execute("PRAGMA data_version").fetchone()
                if now != version:
                    version = now
                    runs = {row.number: row for row in list_runs(history, archived=True)}
                    settings = snapshot.settings
                    if runs.keys() != snapshot.runs.keys():  # a configuration does not change
                        settings = varying_settings(history)
                    snapshot = replace(snapshot, runs=runs, settings=settings, loaded=True)
                self._ask_slurm()
                self._look_after_sweeps()
                if time.monotonic() - looked_at_folders > FOLDERS_EVERY:
                    looked_at_folders = time.monotonic()
                    out = (*left_out(self._places.runs), *problems)
                    snapshot = snapshot if out == snapshot.left_out else replace(snapshot, left_out=out)
                if time.monotonic() - looked_at_devices > DEVICES_EVERY:
                    looked_at_devices = time.monotonic()
                    snapshot = replace(snapshot, devices=devices.read())
                if snapshot is not before or self._failure:
                    self._failure = ""
                    self._tell(before, snapshot)
                active = any(run.status in ACTIVE for run in snapshot.runs.values())
                self._woken.wait(TICK_ACTIVE if active else TICK_IDLE)
                self._woken.clear()
        finally:
            watched.close()
            with suppress(Exception):
                history.dispose()

    def _ask_slurm(self) -> None:
        """In a thread of its own, for Slurm may take its time."""
        from handreid_tui.launch.slurm.ledger import has_open_tasks

        if has_open_tasks(self._places.runs) and (self._slurm is None or not self._slurm.is_alive()):
            self._slurm = threading.Thread(target=self._take_in, daemon=True)
            self._slurm.start()

    def _take_in(self) -> None:
        from handreid_tui.launch.slurm.sync import take_in

        try:
            take_in(self._places.runs)
        except UserError as error:
            self._post(FeedFailed(str(error)))
        except Exception as error:  # the next look asks again
            log_bug("asking Slurm")
            self._post(FeedFailed(f"Slurm's answer cannot be used: {error}."))

    def _look_after_sweeps(self) -> None:
        """In a thread of its own, as it may start a process or ask Slurm."""
        free = self._sweeps is None or not self._sweeps.is_alive()
        if free and time.monotonic() - self._looked_at_sweeps > SWEEPS_EVERY:
            self._looked_at_sweeps = time.monotonic()
            if (self._places.runs / run_files.SWEEPS).is_dir():
                self._sweeps = threading.Thread(target=_carry_on, args=(self._places.runs,), daemon=True)
                self._sweeps.start()

    def _tell(self, before: Snapshot, now: Snapshot) -> None:
        numbers = before.runs.keys() | now.runs.keys()
        changed = frozenset(n for n in numbers if before.runs.get(n) != now.runs.get(n))
        if changed or before.left_out != now.left_out or before.devices != now.devices or not before.loaded:
            self._post(RunsChanged(now, changed if before.loaded else None))


def _carry_on(runs: Path) -> None:
    from handreid_tui.sweeps.keeper import look_after_sweeps

    with suppress(UserError):  # what cannot be made now is tried again
        look_after_sweeps(runs)
