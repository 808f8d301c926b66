"""Lines that are too long: memory stays bounded, the other lines are kept, however the file is read."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from engine.contract.events import LONGEST_LINE, Event, as_object, read_events


def kind_of(event: Event) -> str:
    return str(as_object(event)["kind"])


GOOD = b'{"kind":"step","step":1}\n'


def padded(length: int) -> bytes:
    """An event whose line is `length` bytes long, the newline not counted."""
    return json.dumps({"kind": "message", "text": "x" * (length - 32)}).encode().ljust(length) + b"\n"


def read_all(path: Path, limit: int) -> tuple[list[str], int, int]:
    kinds, damaged, offset = [], 0, 0
    while (chunk := read_events(path, offset, limit)).end > offset:
        kinds, damaged, offset = kinds + [kind_of(event) for event in chunk.events], damaged + chunk.damaged, chunk.end
    return kinds, damaged, offset


@pytest.mark.parametrize("limit", [4096, LONGEST_LINE, 16 << 20])
@pytest.mark.parametrize(("over", "kept"), [(0, True), (1, False), (5 << 20, False)])
def test_a_line_longer_than_the_limit_is_damaged_whatever_is_read_at_once(
    tmp_path: Path, limit: int, over: int, kept: bool
) -> None:
    path = tmp_path / "events.jsonl"
    content = GOOD + padded(LONGEST_LINE + over) + GOOD
    path.write_bytes(content)
    kinds = ["step", "message", "step"] if kept else ["step", "step"]
    assert read_all(path, limit) == (kinds, 0 if kept else 1, len(content))


def test_a_line_without_an_end_takes_bounded_memory_and_is_passed_once_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with path.open("wb") as file:
        file.write(GOOD)
        file.truncate(1 << 30)  # zeros to the end, and no newline
    tracemalloc.start()
    kinds, damaged, offset = read_all(path, 4 << 20)
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()
    assert (kinds, damaged, offset) == (["step"], 1, 1 << 30)
    with path.open("ab") as file:
        file.write(b"rest of it\n" + GOOD)
    chunk = read_events(path, offset)
    assert ([kind_of(event) for event in chunk.events], chunk.damaged) == (["step"], 0)


def test_a_short_line_without_an_end_waits(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(GOOD + GOOD[:-1])
    assert read_events(path).end == len(GOOD)
    path.write_bytes(GOOD + GOOD)
    assert len(read_events(path, len(GOOD)).events) == 1
