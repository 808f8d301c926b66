"""Thinning of long curves without losing a spike."""

from __future__ import annotations

import numpy as np

from handreid_tui.ui.chart.raster import Floats


def thin(x: Floats, y: Floats, buckets: int) -> tuple[Floats, Floats]:
    """The smallest and the largest point of each of `buckets` equal stretches of x, and both ends.

    x [N] ascending, y [N] with NaN as gap: a stretch of nothing but NaN keeps one. At most 2 * buckets + 2 points.
    """
    if len(x) <= 2 * buckets + 2:
        return x, y
    edges = np.linspace(x[0], x[-1], buckets + 1)[:-1]
    starts = np.unique(np.searchsorted(x, edges))
    sizes = np.diff(np.append(starts, len(x)))
    low = np.repeat(np.fmin.reduceat(y, starts), sizes)
    high = np.repeat(np.fmax.reduceat(y, starts), sizes)
    keep = [np.array([0, len(x) - 1])]
    for extreme in (low, high):
        hits = np.flatnonzero((y == extreme) | (np.isnan(extreme) & np.isnan(y)))
        _, first = np.unique(np.searchsorted(starts, hits, side="right"), return_index=True)
        keep.append(hits[first])
    chosen = np.unique(np.concatenate(keep))
    return x[chosen], y[chosen]
