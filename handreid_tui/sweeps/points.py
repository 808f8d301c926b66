"""The points of a quasi-random search: a scrambled Halton sequence, whose first n points are evenly spread for any n.

Halton 1960; scrambled as Owen 2017. The points are kept with the sweep: another version of scipy may give others.
"""

from __future__ import annotations

from typing import Any

from handreid_tui.sweeps.space import Dimension

Point = dict[str, Any]


def quasi_points(space: list[Dimension], count: int, seed: int, skip: int = 0) -> list[Point]:
    """`count` points of the sequence of `seed`, without the first `skip`: extending keeps what was there."""
    import numpy as np
    from scipy.stats import qmc  # 0.3 s

    if count <= 0:
        return []
    sequence = qmc.Halton(len(space), scramble=True, seed=np.random.default_rng(seed))
    if skip:
        sequence.fast_forward(skip)
    return [
        {dimension.key: dimension.value(u) for dimension, u in zip(space, row.tolist(), strict=True)}
        for row in sequence.random(count)
    ]
