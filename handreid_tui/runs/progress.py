"""What a run's events add up to while it goes on: a small state that each event moves forward."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.contract import run_files
from engine.contract.events import (
    EndReason,
    EvaluationDone,
    Event,
    PromptStep,
    RunEnded,
    RunStarted,
    TrainerMessage,
    TrainingStep,
    read_events,
)


@dataclass
class RunProgress:
    """One run, as its events tell it so far. Times in seconds, rates and accuracies in [0, 1]."""

    path: Path
    offset: int = 0
    status: str = "starting"
    reason: EndReason = field(default_factory=EndReason)
    started: RunStarted | None = None
    first_step_at: float = 0.0
    first_step: int = 0
    last_step_at: float = 0.0
    step: int = 0
    epoch: int = 0
    total: float | None = None
    terms: dict[str, float] = field(default_factory=dict)
    images_per_s: float = 0.0
    prompt: PromptStep | None = None  # the latest, in the first stage
    prompt_tenth: int = -1  # of the first stage, that was told last
    stages: dict[str, EvaluationDone] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    messages: list[TrainerMessage] = field(default_factory=list)

    @property
    def seconds_left(self) -> float | None:
        """From the pace since the start or the resume; None before there is one."""
        steps = self.started.steps if self.started else None
        done = self.step + 1 - self.first_step
        if not steps or done < 2 or self.last_step_at <= self.first_step_at:
            return None
        return max(0.0, (steps - self.step - 1) * (self.last_step_at - self.first_step_at) / (done - 1))

    def catch_up(self) -> list[Event]:
        """Read what is new in events.jsonl and return it."""
        chunk = read_events(self.path / run_files.EVENTS, self.offset)
        self.offset = chunk.end
        for event in chunk.events:
            self.take(event)
        return chunk.events

    def take(self, event: Event) -> None:
        match event:
            case RunStarted():
                self.started, self.status, self.first_step_at, self.prompt = event, "running", 0.0, None
            case PromptStep():
                self.prompt = event
            case TrainingStep():
                self.prompt = None
                now = event.t or 0.0
                if not self.first_step_at:
                    self.first_step_at, self.first_step = now, event.step
                self.last_step_at, self.step, self.epoch = now, event.step, event.epoch or 0
                self.total, self.terms = event.total, event.terms or {}
                self.images_per_s = event.images_per_s or 0.0
            case EvaluationDone():
                self.stages[event.stage or ""] = event
            case TrainerMessage():
                self.messages.append(event)
            case RunEnded():
                self.status = event.status or "failed"
                self.reason = event.reason or EndReason()
                self.summary = event.summary or {}
