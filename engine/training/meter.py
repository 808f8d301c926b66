"""Collects the losses of the steps on the device, and writes them as events a few times a second.

Reading a loss back makes the host wait for the device, so it is done for many steps at once.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor

from engine.contract.errors import LossNotFinite
from engine.contract.events import EventWriter, SystemReading, TrainingStep
from engine.losses.objective import BatchLoss
from engine.machine.usage import SystemProbe

FLUSH_SECONDS = 0.3
SYSTEM_SECONDS = 2.0


class Meter:
    """Step events, and their means over the epoch."""

    def __init__(self, events: EventWriter, terms: list[str], batch: int, steps_per_epoch: int) -> None:
        self.events, self.names = events, ["total", *terms]
        self.batch, self.steps_per_epoch = batch, steps_per_epoch
        self.watched: list[str] = []
        self.waiting: list[tuple[int, float, Tensor]] = []
        self.sums, self.count = dict.fromkeys(self.names, 0.0), 0
        self.flushed = self.probed = self.epoch_began = time.monotonic()
        self.due = 0.0  # at once for the first step: somebody waits for a first point
        self.probe = SystemProbe()

    def add(self, step: int, loss: BatchLoss, rate: float) -> None:
        self.watched = list(loss.watched)
        values = [loss.total, *loss.terms.values(), *loss.watched.values()]
        self.waiting.append((step, rate, torch.stack([value.detach() for value in values])))
        if time.monotonic() > self.due:
            self.flush()

    def flush(self) -> None:
        """Write the waiting steps. Raises LossNotFinite at the first step whose loss is not a number."""
        if not self.waiting:
            return
        rows = torch.stack([values for _, _, values in self.waiting]).tolist()
        now = time.monotonic()
        speed = len(rows) * self.batch / max(now - self.flushed, 1e-9)
        waiting, self.waiting, self.flushed, self.due = self.waiting, [], now, now + FLUSH_SECONDS
        for (step, rate, _), values in zip(waiting, rows, strict=True):
            named = dict(zip([*self.names, *self.watched], values, strict=True))
            for name in reversed(self.names):  # a term before the total that it spoils
                if not abs(named[name]) < float("inf"):
                    raise LossNotFinite(step, name)
                self.sums[name] += named[name]
            self.count += 1
            terms = {name: round(named[name], 6) for name in self.names[1:]}
            watched = {name: round(named[name], 6) for name in self.watched} or None
            self.events.write(
                TrainingStep(
                    step=step,
                    epoch=step // self.steps_per_epoch + 1,
                    total=round(named["total"], 6),
                    terms=terms,
                    watched=watched,
                    lr=rate,
                    images_per_s=round(speed, 1),
                )
            )
        if now - self.probed > SYSTEM_SECONDS:
            self.probed = now
            self.events.write(SystemReading(step=waiting[-1][0], **self.probe.read()))

    def restore(self, sums: dict[str, float], count: int) -> None:
        """Take up the means of an epoch that a checkpoint interrupted."""
        self.sums, self.count = self.sums | sums, count

    def restart(self) -> None:
        """A new epoch begins: the time that the validation took is nobody's training time."""
        self.flushed = self.epoch_began = time.monotonic()

    def means(self) -> dict[str, float]:
        """The means since the last call: of one epoch."""
        means = {name: total / max(self.count, 1) for name, total in self.sums.items()}
        self.sums, self.count = dict.fromkeys(self.names, 0.0), 0
        return means
