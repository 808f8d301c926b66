"""The end of a run that its trainer could not write itself: stopped before its first step, or killed while stopping."""

from __future__ import annotations

from pathlib import Path

from engine.events import EventWriter, read_events
from handreid_tui.files import inside

TAIL = 65536  # bytes that hold the last event, whatever it is


def tell_stopped(run: Path, message: str, since: int = 0) -> None:
    """Append `ended: stopped`, unless an end stands there already behind byte `since`.

    For the owner of the claim only: nobody else writes events then. Raises OSError, UserError.
    """
    path = inside(run, "events.jsonl")
    last = read_events(path, max(since, events_size(run) - TAIL)).events[-1:]
    if not last or last[0]["kind"] != "ended":
        events = EventWriter(path)
        events.write("ended", status="stopped", reason={"kind": "signal", "message": message, "traceback": None})
        events.close()


def events_size(run: Path) -> int:
    try:
        return (run / "events.jsonl").stat().st_size
    except FileNotFoundError:
        return 0
