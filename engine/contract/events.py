"""events.jsonl: what happened in a run, one JSON object a line, append-only. The trainer writes, the manager reads.

A line is `{"v": 1, "t": <unix seconds>, "kind": …, …}`; docs/architecture.md lists kinds and fields. A reader ignores
unknown kinds and keys; a half-written last line waits for its end. No torch here.
"""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = 1
KINDS = ("started", "step", "epoch", "evaluation", "system", "checkpoint", "message", "ended")
LONGEST_LINE = 1 << 20  # bytes; no event comes near, and a reader's memory stays bounded


class EventWriter:
    """Appends events to one file. One writer a file; each line is one write to the operating system."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        self._lost = 0

    def write(self, kind: str, **fields: Any) -> None:
        """Append an event. One without room on the disk is dropped; once there is room, a message says so."""
        if self._lost:
            text = f"The disk was full: {self._lost} event{'s were' if self._lost > 1 else ' was'} lost."
            if self._append("message", {"level": "warning", "text": text}):
                self._lost = 0
        if not self._append(kind, fields):
            self._lost += 1

    def _append(self, kind: str, fields: dict[str, Any]) -> bool:
        event = {"v": VERSION, "t": round(time.time(), 3), "kind": kind} | fields
        line = (dumps(event) + "\n").encode()
        try:
            size = os.fstat(self._file).st_size
            if size and os.pread(self._file, 1, size - 1) != b"\n":
                line = b"\n" + line  # a torn line, of a killed writer or a full disk, must not swallow ours
            return os.write(self._file, line) == len(line)
        except OSError:
            return False

    def close(self) -> None:
        os.close(self._file)


@dataclass(frozen=True)
class Chunk:
    """Complete lines read from `start` to `end` (byte offsets): the events, and how many lines were damaged."""

    events: list[dict[str, Any]]
    start: int
    end: int
    damaged: int


def read_events(path: Path, start: int = 0, limit: int = 16 << 20) -> Chunk:
    """Read the complete lines of `path` from byte `start`, about `limit` bytes of them at most.

    A line that is not a JSON object with a kind, or is longer than LONGEST_LINE, is counted as damaged and left out.
    `start` inside a line leaves out the rest of it. A missing file reads as empty.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(0, start - 1))
            in_line = start > 0 and file.read(1) != b"\n"
            block = file.read(limit)
            if len(block) == limit and b"\n" not in block:
                block += file.readline(max(0, LONGEST_LINE + 1 - limit))
    except FileNotFoundError:
        return Chunk([], start, start, 0)
    end = block.rfind(b"\n") + 1
    if not end and len(block) > LONGEST_LINE:
        end = len(block)  # nobody waits for the end of this line
    events, damaged = [], 0
    for line in block[:end].split(b"\n")[in_line:]:
        event = _parse(line) if len(line) <= LONGEST_LINE else None
        if event is None:
            damaged += bool(line.strip())
        else:
            events.append(event)
    return Chunk(events, start, start + end, damaged)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("kind"), str) else None


def dumps(value: Any) -> str:
    """JSON with NaN and infinity as null: neither is JSON, and SQLite stores neither."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_finite(value), separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
