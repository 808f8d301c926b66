"""Events for tests: written with as few fields as a test wants, and read as plain objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.contract.events import Event, dumps, parse


def event(kind: str, **fields: Any) -> Event:
    """The event that a line with these fields is."""
    found = parse(dumps({"kind": kind} | fields))
    assert found
    return found


def raw_events(path: Path) -> list[dict[str, Any]]:
    """The lines of an event log that are whole, as JSON has them."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines if parse(line)]
