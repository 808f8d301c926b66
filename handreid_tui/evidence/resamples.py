"""95 % intervals by person: the identity bootstrap with Student's t (docs/statistics.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handreid_tui.compare.resampling import resampling_weights

Floats = NDArray[np.float64]
RESAMPLES = 2_000
ALPHA = 0.05


@dataclass(frozen=True)
class ResampledEstimate:
    """A figure with its 95 % interval; NaN bounds where fewer than two people give none."""

    value: float
    low: float
    high: float
    people: int


def weights(people: int, seed: int = 0) -> Floats:
    """How often each person is drawn in each resample, [RESAMPLES, people]."""
    drawn: Floats = resampling_weights(people, RESAMPLES, seed)
    return drawn


def rate(value: float, replicates: Floats, people: int) -> ResampledEstimate:
    """A fraction: its interval is cut to [0, 1]; where all or none of `people` err, it reaches 3 / people."""
    found = figure(value, replicates, people)
    low, high = max(0.0, found.low), min(1.0, found.high)
    if value <= 0:
        high = min(1.0, 3 / people)
    if value >= 1:
        low = max(0.0, 1 - 3 / people)
    return ResampledEstimate(value, low, high, people)


def figure(value: float, replicates: Floats, people: int) -> ResampledEstimate:
    """A figure from its bootstrap `replicates` [RESAMPLES]; resamples without a value (NaN) are left out."""
    from scipy.special import stdtrit  # late: the command line must start without it

    drawn = replicates[np.isfinite(replicates)]
    if people < 2 or len(drawn) < 2 or not math.isfinite(value):
        return ResampledEstimate(value, math.nan, math.nan, people)
    half = float(stdtrit(people - 1, 1 - ALPHA / 2) * drawn.std() * math.sqrt(people / (people - 1)))
    return ResampledEstimate(value, value - half, value + half, people)


def quotient(numerator: Floats, denominator: Floats) -> Floats:
    """Elementwise; NaN where the denominator is zero."""
    found: Floats = np.divide(numerator, denominator, out=np.full(np.shape(numerator), np.nan), where=denominator > 0)
    return found
