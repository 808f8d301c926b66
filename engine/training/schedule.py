"""The learning rate as a pure function of the step, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math

from engine.contract.config import TrainConfig


def rate_factor(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """The factor on every learning rate at `step` (0-based): linear warm-up from `warmup_from`, then the decay.

    `cosine` falls from 1 at the end of the warm-up to 0 at the end of the run; `step` multiplies by `decay` at each of
    the `milestones` (epochs); `constant` stays.
    """
    epoch = step / steps_per_epoch
    warmup = min(config.warmup_epochs, config.epochs / 2)  # a short run still reaches its full rate
    if epoch < warmup:
        return config.warmup_from + (1 - config.warmup_from) * epoch / warmup
    if config.schedule == "cosine":
        done = (epoch - warmup) / max(config.epochs - warmup, 1e-9)
        return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    if config.schedule == "step":
        return config.decay ** sum(epoch >= milestone for milestone in config.milestones)
    return 1.0
