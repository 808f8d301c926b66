"""Exponential smoothing for noisy curves."""

from __future__ import annotations

import numpy as np

from handreid_tui.ui.chart.raster import Floats

MOST_POINTS = 4096
REFERENCE = 1000
LEVELS = (0.0, 0.6, 0.9, 0.97, 0.99)


def ema(x: Floats, y: Floats, weight: float) -> tuple[Floats, Floats]:
    """The bias-corrected exponential moving average of y (Kingma and Ba 2015, section 3), with its x.

    `weight` in [0, 1) is what a point keeps of the past in a line of 1,000 points; in others it is scaled, so that the
    same share of every line is averaged: a line of a few epochs stays as it is. NaN stays a gap. More than 4,096
    points are averaged down to that many first.
    """
    if len(y) > MOST_POINTS:
        group = -(-len(y) // MOST_POINTS)
        starts = np.arange(0, len(y), group)
        finite = np.isfinite(y)
        count = np.add.reduceat(finite, starts, dtype=np.float64)
        total = np.add.reduceat(np.where(finite, y, 0.0), starts)
        y = np.divide(total, count, out=np.full(len(starts), np.nan), where=count > 0)
        x = x[np.minimum(starts + group // 2, len(x) - 1)]
    weight **= REFERENCE / max(1, len(y))
    smoothed, mean, correction = [], 0.0, 1.0
    for value in y.tolist():
        if value - value == 0.0:  # neither NaN nor infinite
            mean = weight * mean + (1 - weight) * value
            correction *= weight
            value = mean / (1 - correction)
        smoothed.append(value)
    return x, np.array(smoothed, dtype=np.float64)
