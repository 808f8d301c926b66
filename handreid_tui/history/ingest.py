"""Bringing the history up to date with the run directories. Any number of processes may do it at once.

The offset reached in events.jsonl moves in the same transaction as the rows that were read up to it, and a transaction
that finds the offset moved by somebody else reads again: nothing is lost and nothing counts twice.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from engine.contract import run_files
from engine.contract.events import Chunk, read_events
from handreid_tui.history.apply import apply_segments, forget
from handreid_tui.history.collector import collector_paused
from handreid_tui.history.describe import describe, describe_again, insert_run
from handreid_tui.history.fold import fold
from handreid_tui.history.missing_rates import add_missing_rates
from handreid_tui.history.schema import reading, writing
from handreid_tui.runs import directory
from handreid_tui.runs.safe_files import explain, is_file, read_bytes, size_and_time
from handreid_tui.runs.state import FINAL, State, observe

RESTING = (*FINAL, "queued")  # nothing happens here that would not show in the times of the files
CHUNK = 4 << 20  # bytes of events in one transaction
SETTLED = 2.0  # seconds after which a file's time of change can be trusted to show the next change


@dataclass
class IngestReport:
    """What an ingest did: run directories seen, events added, lines left out, runs that changed or went away."""

    runs: int = 0
    events: int = 0
    damaged: int = 0
    changed: set[int] = field(default_factory=set)
    removed: set[int] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


class Stamp(NamedTuple):
    """What tells that a run directory was changed: size and times of change, in bytes and nanoseconds."""

    size: int
    modified: int
    folder_modified: int


class Known(NamedTuple):
    """What the history holds of a run directory."""

    path: str
    state: State
    offset: int
    head: str
    stamp: Stamp


def ingest(history: Engine, runs: Path) -> IngestReport:
    """Read what is new in the run directories of `runs`; forget the runs whose directory is gone."""
    report = IngestReport()
    seen: dict[int, Path] = {}
    known = _known(history)  # before looking at the disk: a run made meanwhile must not look removed
    for path in directory.list_runs(runs.resolve()):
        number = directory.number(path)
        if number in seen:
            report.problems.append(f"{path.name} has the number of {seen[number].name}: rename it.")
            continue
        seen[number] = path
        _ingest(history, path, number, known.get(number), report)
    gone = known.keys() - seen.keys() if runs.is_dir() else set()  # without the folder, we know nothing about them
    if gone:
        with writing(history) as connection:
            for number in gone:
                forget(connection, number)
    report.runs, report.removed = len(seen), gone
    return report


def ingest_run(history: Engine, path: Path) -> IngestReport:
    """Read what is new in one run directory."""
    path, report = path.resolve(), IngestReport(runs=1)
    number = directory.number(path)
    _ingest(history, path, number, _known(history, number).get(number), report)
    return report


def _ingest(history: Engine, path: Path, number: int, known: Known | None, report: IngestReport) -> None:
    more = True
    while more:
        with collector_paused():
            known, more = _advance(history, path, number, known, report)


def _advance(
    history: Engine, path: Path, number: int, known: Known | None, report: IngestReport
) -> tuple[Known | None, bool]:
    """Read on by one chunk; returns what the history holds then, and whether to come again.

    `known` is older than what is seen of the files here: else a file that grew meanwhile would look shortened.
    """
    try:
        stamp = _stamp(path)
    except OSError:  # removed a moment ago: the next ingest forgets it
        return known, False
    same_place = known is not None and known.path == str(path)
    if known and same_place and known.state.status in RESTING and known.stamp == stamp:
        return known, False
    state = observe(path)  # before reading events: a run seen to have ended has all its events read
    start = 0 if known is None or _replaced(path, known, stamp) else known.offset
    size = size_and_time(path / run_files.EVENTS)[0]  # with what was written since the stamp, which stays the older one
    chunk = _read(path, start, size, report)
    if known and same_place and (chunk.end, state, stamp) == (known.offset, known.state, known.stamp):
        return known, False
    fresh = not known or not same_place or known.stamp.folder_modified != stamp.folder_modified
    description = describe(path) if fresh else None
    head = known.head if known and start else _head(path)
    complete = chunk.end == start or size <= start + CHUNK
    segments = fold(chunk.events)
    add_missing_rates(path, segments)
    with writing(history) as connection:
        now = _select(connection, number).get(number)
        if _offset(now) != _offset(known):  # another process was here since we looked
            return now, True
        if now and start == now.offset:
            if description:
                describe_again(connection, number, description)
        else:
            if now:
                forget(connection, number)
            insert_run(connection, number, description or describe(path), state)
        if chunk.end > start:
            apply_segments(connection, number, segments)
        _finish(connection, number, chunk, head, state, stamp if complete else Stamp(0, 0, 0))
        now = _select(connection, number).get(number)
    if description and description.problem:
        report.problems.append(description.problem)
    report.events += len(chunk.events)
    report.damaged += chunk.damaged
    report.changed.add(number)
    return now, not complete


def _finish(connection: Connection, number: int, chunk: Chunk, head: str, state: State, stamp: Stamp) -> None:
    """Move the offset. A folder changed a moment ago may change again in the same tick of its clock: look again."""
    young = abs(time.time() - stamp.folder_modified / 1e9) < SETTLED
    connection.exec_driver_sql(
        "UPDATE position SET offset = ?, head = ?, size = ?, modified = ?, folder_modified = ? WHERE run = ?",
        (chunk.end, head, stamp.size, stamp.modified, 0 if young else stamp.folder_modified, number),
    )
    connection.exec_driver_sql(
        "UPDATE run SET status = ?, reason = ?, stalled = ?, damaged = damaged + ? WHERE number = ?",
        (state.status, state.reason, state.stalled, chunk.damaged, number),
    )


# Reading the directory


def _stamp(path: Path) -> Stamp:
    folder = os.lstat(path)
    try:
        events = os.lstat(f"{path}/{run_files.EVENTS}")
    except FileNotFoundError:
        return Stamp(0, 0, folder.st_mtime_ns)
    return Stamp(events.st_size, events.st_mtime_ns, folder.st_mtime_ns)


def _read(path: Path, start: int, size: int, report: IngestReport) -> Chunk:
    events = path / run_files.EVENTS
    if size > start and is_file(events):  # a link could lead anywhere, a pipe would never end
        try:
            return read_events(events, start, CHUNK)
        except OSError as error:
            report.problems.append(f"{events} cannot be read: {explain(error)}")
    return Chunk([], start, start, 0)


def _offset(known: Known | None) -> int | None:
    return known.offset if known else None


def _replaced(path: Path, known: Known, stamp: Stamp) -> bool:
    """Whether events.jsonl is not the file that the history has read from, but shorter, or begins differently."""
    if stamp.size < known.offset:
        return True
    return known.offset > 0 and stamp[:2] != known.stamp[:2] and _head(path) != known.head


def _head(path: Path) -> str:
    first_line = (read_bytes(path / run_files.EVENTS, 0, 4096) or b"").partition(b"\n")[0]
    return hashlib.blake2b(first_line, digest_size=8).hexdigest()


# The rows of a run


def _known(history: Engine, number: int | None = None) -> dict[int, Known]:
    with reading(history) as connection:
        return _select(connection, number)


def _select(connection: Connection, number: int | None = None) -> dict[int, Known]:
    where, values = ("", ()) if number is None else (" WHERE number = ?", (number,))
    rows = connection.exec_driver_sql(
        "SELECT number, path, status, reason, stalled, offset, head, size, modified, folder_modified"
        f" FROM run JOIN position ON run = number{where}",
        values,
    )
    return {
        run: Known(path, State(status, reason, bool(stalled)), offset, head, Stamp(*stamp))
        for run, path, status, reason, stalled, offset, head, *stamp in rows
    }
