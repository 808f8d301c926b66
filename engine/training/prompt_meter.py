"""Collects the losses of the first stage on the device, and writes them as events a few times a second."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from engine.contract.errors import LossNotFinite
from engine.contract.events import EventWriter, PromptStep
from engine.training.meter import FLUSH_SECONDS

NAMES = ("i2t", "t2i")


class PromptMeter:
    """Events of the steps of prompt learning."""

    def __init__(self, events: EventWriter, steps_per_epoch: int) -> None:
        self.events, self.steps_per_epoch = events, steps_per_epoch
        self.waiting: list[tuple[int, float, float, Tensor]] = []
        self.due = 0.0  # at once for the first step

    def add(self, step: int, i2t: Tensor, t2i: Tensor, rate: float, seconds: float) -> None:
        self.waiting.append((step, rate, seconds, torch.stack([i2t.detach(), t2i.detach()])))
        if time.monotonic() > self.due:
            self.flush()

    def flush(self) -> None:
        """Write the waiting steps. Raises LossNotFinite at the first step whose loss is not a number."""
        if not self.waiting:
            return
        rows = torch.stack([values for *_, values in self.waiting]).tolist()
        waiting, self.waiting, self.due = self.waiting, [], time.monotonic() + FLUSH_SECONDS
        for (step, rate, seconds, _), values in zip(waiting, rows, strict=True):
            terms = dict(zip(NAMES, values, strict=True))
            for name, value in terms.items():
                if not abs(value) < float("inf"):
                    raise LossNotFinite(step, f"{name} of the first stage", "prompts.lr")
            self.events.write(
                PromptStep(
                    step=step,
                    epoch=step // self.steps_per_epoch + 1,
                    total=round(sum(values), 6),
                    terms={name: round(value, 6) for name, value in terms.items()},
                    lr=rate,
                    seconds=round(seconds, 3),
                )
            )
