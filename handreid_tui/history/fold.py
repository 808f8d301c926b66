"""What a stretch of events changes in the history: pure, no file and no database. Wrong values are left out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from handreid_tui.runs.safe_files import plain
from handreid_tui.runs.state import ended_reason

Event = dict[str, Any]
Points = dict[str, tuple[list[int], list[float | None]]]

STAGES = {"pixels": "pixels", "before": "before", "validation": "val", "final": "test"}
LARGEST = 2**53
_NOT_METRICS = {"v", "t", "step", "epoch", "trials", "trial"}
_STARTED_TEXTS = ("device", "host", "dataset", "subset", "gallery", "fingerprint", "model", "pretrained")


@dataclass
class Segment:
    """Events of one attempt. `resumed_from` is the step after which earlier metrics are void, None where all stand."""

    started: float | None = None
    resumed_from: int | None = None
    points: Points = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)
    messages: list[tuple[float | None, str, str]] = field(default_factory=list)
    first: float | None = None
    last: float | None = None


def fold(events: Iterable[Event]) -> list[Segment]:
    """The changes of `events` in order, cut before each `started`."""
    segments = [Segment()]
    for event in events:
        kind = event["kind"]
        if kind == "started":
            segments.append(Segment())
        segment = segments[-1]
        if kind == "step":
            _step(segment, event)
        elif kind in _FOLDS:
            _FOLDS[kind](segment, event)
        t = _number(event.get("t"))
        if t is None or t < 0:
            continue
        segment.columns["last_event"] = t
        if kind != "message" and not _cut_short(event):  # these may belong to an attempt that has not begun
            segment.first = t if segment.first is None else segment.first
            segment.last = t
    return segments


def _cut_short(event: Event) -> bool:
    """Whether an attempt ended unfinished: it may have failed, or left the queue, before its `started`."""
    return event["kind"] == "ended" and event.get("status") != "finished"


def _step(segment: Segment, event: Event) -> None:
    step = _whole(event.get("step"))
    if step is None:
        return
    points = segment.points
    for name in ("total", "lr", "images_per_s"):
        if name in event:
            _put(points, name, step, event[name])
    for values in (event.get("terms"), event.get("watched")):
        if isinstance(values, dict):
            for term, value in values.items():
                _put(points, "term/" + term, step, value)
    segment.columns["step"] = step + 1
    _epoch_column(segment, event)


def _started(segment: Segment, event: Event) -> None:
    resumed_from = _whole(event.get("resumed_from"))
    segment.resumed_from = -1 if resumed_from is None else resumed_from
    segment.started = _number(event.get("t"))
    segment.columns |= {name: plain(event[name], 500) for name in _STARTED_TEXTS if isinstance(event.get(name), str)}
    segment.columns |= {name: _whole(event[name]) for name in ("epochs", "steps") if name in event}
    segment.columns |= {"started": segment.started or 0.0, "ended": None, "step": resumed_from or 0}
    if resumed_from is None:
        segment.columns["epoch"] = None


def _epoch(segment: Segment, event: Event) -> None:
    step = _whole(event.get("step"))
    _epoch_column(segment, event)
    if step is None:
        return
    _put_all(segment.points, "epoch/", step, event)
    for name, prefix in (("terms", "epoch/term/"), ("geometry", "geometry/")):
        if isinstance(event.get(name), dict):
            _put_all(segment.points, prefix, step, event[name])


def _evaluation(segment: Segment, event: Event) -> None:
    step, stage = _whole(event.get("step")), event.get("stage")
    if step is not None and isinstance(stage, str) and stage in STAGES and event.get("trial", "mean") == "mean":
        _put_all(segment.points, STAGES[stage] + "/", step, event)


def _system(segment: Segment, event: Event) -> None:
    step = _whole(event.get("step"))
    if step is not None:
        _put_all(segment.points, "system/", step, event)


def _message(segment: Segment, event: Event) -> None:
    level = event.get("level")
    segment.messages.append(
        (_number(event.get("t")), plain(level, 20) or "info", plain(event.get("text"), 10_000)),
    )


def _ended(segment: Segment, event: Event) -> None:
    segment.columns["ended"] = _number(event.get("t"))
    if reason := ended_reason(event):
        segment.messages.append((_number(event.get("t")), "error", reason))
    summary = event.get("summary")
    if not isinstance(summary, dict):
        return
    segment.columns["best_epoch"] = _whole(summary.get("best_epoch"))
    if isinstance(summary.get("geometry"), dict):
        _put_all(segment.points, "test/geometry/", 0, summary["geometry"])


_FOLDS = {
    "started": _started,
    "epoch": _epoch,
    "evaluation": _evaluation,
    "system": _system,
    "message": _message,
    "ended": _ended,
}


def _epoch_column(segment: Segment, event: Event) -> None:
    if (epoch := _whole(event.get("epoch"))) is not None:
        segment.columns["epoch"] = epoch


def _put_all(points: Points, prefix: str, step: int, values: Event) -> None:
    for name, value in values.items():
        if name not in _NOT_METRICS and (value is None or type(value) in (int, float)):
            _put(points, prefix + name, step, value)


def _put(points: Points, name: str, step: int, value: Any) -> None:
    """A value that is no finite number stands as NULL: a gap in the curve."""
    if name not in points:
        points[name] = ([], [])
    steps, values = points[name]
    steps.append(step)
    values.append(_number(value))


def _number(value: Any) -> float | None:
    if type(value) is float:
        return value if math.isfinite(value) else None
    return float(value) if type(value) is int and abs(value) < LARGEST else None


def _whole(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < LARGEST else None
