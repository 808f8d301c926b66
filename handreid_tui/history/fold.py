"""What a stretch of events changes in the history: pure, no file and no database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.contract.events import (
    EpochDone,
    EvaluationDone,
    Event,
    PromptStep,
    RunEnded,
    RunStarted,
    SystemReading,
    TrainerMessage,
    TrainingStep,
    numbers,
    whole,
)
from handreid_tui.runs.safe_files import plain
from handreid_tui.runs.state import ended_reason

Points = dict[str, tuple[list[int], list[float | None]]]

STAGES = {"pixels": "pixels", "before": "before", "validation": "val", "final": "test"}
PROMPTS = "prompts/"  # before the names of the curves of the first stage, whose steps are counted on their own
_STARTED_TEXTS = ("device", "host", "dataset", "subset", "gallery", "fingerprint", "model", "pretrained")


@dataclass
class Segment:
    """Events of one attempt. `resumed_from` is the step after which earlier metrics are void, None where all stand;
    `prompts_from` is the same of the first stage."""

    started: float | None = None
    resumed_from: int | None = None
    prompts_from: int = 0
    points: Points = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)
    messages: list[tuple[float | None, str, str]] = field(default_factory=list)
    first: float | None = None
    last: float | None = None


def fold(events: Iterable[Event]) -> list[Segment]:
    """The changes of `events` in order, cut before each start."""
    segments = [Segment()]
    for event in events:
        kind = type(event)
        if kind is RunStarted:
            segments.append(Segment())
        segment = segments[-1]
        if kind in _FOLDS:
            _FOLDS[kind](segment, event)
        if event.t is None:
            continue
        segment.columns["last_event"] = event.t
        if kind is not TrainerMessage and not _cut_short(event):  # these may belong to an attempt that has not begun
            segment.first = event.t if segment.first is None else segment.first
            segment.last = event.t
    return segments


def _cut_short(event: Event) -> bool:
    """Whether an attempt ended unfinished: it may have failed, or left the queue, before its start."""
    return type(event) is RunEnded and event.status != "finished"


def _step(segment: Segment, event: TrainingStep) -> None:
    points, step = segment.points, event.step
    if event.total is not None:
        _put(points, "total", step, event.total)
    if event.lr is not None:
        _put(points, "lr", step, event.lr)
    if event.images_per_s is not None:
        _put(points, "images_per_s", step, event.images_per_s)
    for values in (event.terms, event.watched):
        if values:
            for term, value in values.items():
                _put(points, "term/" + term, step, value)
    segment.columns |= {"step": step + 1, "in_prompts": False}
    if event.epoch is not None:
        segment.columns["epoch"] = event.epoch


def _prompt(segment: Segment, event: PromptStep) -> None:
    for name, value in ({"total": event.total} | (event.terms or {}) | {"lr": event.lr}).items():
        if value is not None:
            _put(segment.points, PROMPTS + name, event.step, value)
    segment.columns |= {"prompt_step": event.step + 1, "prompt_seconds": event.seconds, "in_prompts": True}


def _started(segment: Segment, event: RunStarted) -> None:
    segment.resumed_from = -1 if event.resumed_from is None else event.resumed_from
    segment.prompts_from = event.prompts_from or 0
    segment.started = event.t
    texts = {name: getattr(event, name) for name in _STARTED_TEXTS}
    segment.columns |= {name: plain(text, 500) for name, text in texts.items() if text is not None}
    numbers = {
        "epochs": event.epochs,
        "steps": event.steps,
        "prompt_epochs": event.prompt_epochs,
        "prompt_steps": event.prompt_steps,
    }
    segment.columns |= {name: number for name, number in numbers.items() if number is not None}
    segment.columns |= {"started": segment.started or 0.0, "ended": None, "step": event.resumed_from or 0}
    segment.columns |= {"prompt_step": event.prompts_from, "in_prompts": False}
    if event.resumed_from is None:
        segment.columns["epoch"] = None


def _epoch(segment: Segment, event: EpochDone) -> None:
    if event.epoch is not None:
        segment.columns["epoch"] = event.epoch
    _put_all(segment.points, "epoch/", event.step, {"seconds": event.seconds} | (event.means or {}))
    _put_all(segment.points, "geometry/", event.step, event.geometry or {})


def _evaluation(segment: Segment, event: EvaluationDone) -> None:
    if event.stage in STAGES:
        found = {"queries_without_match": event.queries_without_match} | (event.metrics or {})
        _put_all(segment.points, STAGES[event.stage] + "/", event.step, found)


def _system(segment: Segment, event: SystemReading) -> None:
    readings = {name: value for name, value in event._asdict().items() if name not in ("step", "t")}
    _put_all(segment.points, "system/", event.step, readings)


def _message(segment: Segment, event: TrainerMessage) -> None:
    segment.messages.append((event.t, plain(event.level, 20) or "info", plain(event.text, 10_000)))


def _ended(segment: Segment, event: RunEnded) -> None:
    segment.columns["ended"] = event.t
    if reason := ended_reason(event):
        segment.messages.append((event.t, "error", reason))
    if event.summary is None:
        return
    segment.columns["best_epoch"] = whole(event.summary.get("best_epoch"))
    _put_all(segment.points, "test/geometry/", 0, numbers(event.summary.get("geometry")) or {})


_FOLDS: dict[type, Callable[[Segment, Any], None]] = {
    RunStarted: _started,
    TrainingStep: _step,
    PromptStep: _prompt,
    EpochDone: _epoch,
    EvaluationDone: _evaluation,
    SystemReading: _system,
    TrainerMessage: _message,
    RunEnded: _ended,
}


def _put_all(points: Points, prefix: str, step: int, values: Mapping[str, float | None]) -> None:
    for name, value in values.items():
        if value is not None:
            _put(points, prefix + name, step, value)


def _put(points: Points, name: str, step: int, value: float) -> None:
    """What is not finite is stored as NULL: a gap in the curve."""
    found = points.get(name)
    if found is None:
        found = points[name] = ([], [])
    found[0].append(step)
    found[1].append(value if value - value == 0.0 else None)
