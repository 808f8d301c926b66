"""What a run's events add up to while it goes on: a small state that each event moves forward."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.contract import run_files
from engine.contract.events import read_events


@dataclass
class Progress:
    """One run, as its events tell it so far. Times in seconds, rates and accuracies in [0, 1]."""

    path: Path
    offset: int = 0
    status: str = "starting"
    reason: dict[str, Any] = field(default_factory=dict)
    started: dict[str, Any] = field(default_factory=dict)
    first_step_at: float = 0.0
    first_step: int = 0
    last_step_at: float = 0.0
    step: int = 0
    epoch: int = 0
    total: float | None = None
    terms: dict[str, float] = field(default_factory=dict)
    images_per_s: float = 0.0
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def seconds_left(self) -> float | None:
        """From the pace since the start or the resume; None before there is one."""
        steps = self.started.get("steps", 0)
        done = self.step + 1 - self.first_step
        if not steps or done < 2 or self.last_step_at <= self.first_step_at:
            return None
        return max(0.0, (steps - self.step - 1) * (self.last_step_at - self.first_step_at) / (done - 1))

    def catch_up(self) -> list[dict[str, Any]]:
        """Read what is new in events.jsonl and return it."""
        chunk = read_events(self.path / run_files.EVENTS, self.offset)
        self.offset = chunk.end
        for event in chunk.events:
            self.take(event)
        return chunk.events

    def take(self, event: dict[str, Any]) -> None:
        match event["kind"]:
            case "started":
                self.started, self.status, self.first_step_at = event, "running", 0.0
            case "step":
                if not self.first_step_at:
                    self.first_step_at, self.first_step = event["t"], event["step"]
                self.last_step_at, self.step, self.epoch = event["t"], event["step"], event.get("epoch", 0)
                self.total, self.terms = event.get("total"), event.get("terms") or {}
                self.images_per_s = event.get("images_per_s") or 0.0
            case "evaluation":
                self.stages[event.get("stage", "")] = event
            case "message":
                self.messages.append(event)
            case "ended":
                self.status = event.get("status", "failed")
                self.reason = event.get("reason") or {}
                self.summary = event.get("summary") or {}
