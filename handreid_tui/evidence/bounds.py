"""How strong evidence may be called with so many people: empirical bounds of likelihood ratios.

ELUB (Vergeer et al. 2016): outside of these bounds a system does worse than one that knows nothing, once a single
misleading comparison is added to those seen. Counted are people and pairs of people, not pairs of images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
STEP, LARGEST = 0.01, 20.0  # log10


@dataclass(frozen=True)
class Bounds:
    """Largest and smallest log10 LR that may be reported."""

    lower: float
    upper: float

    def clip(self, log_ratio: Floats) -> Floats:
        """ln LR [n] within the bounds."""
        found: Floats = np.clip(log_ratio, self.lower * math.log(10), self.upper * math.log(10))
        return found


def bounds(log_ratio: Floats, same: NDArray[np.bool_], weight: Floats, persons: int, person_pairs: int) -> Bounds:
    """The bounds from ln LR [n] with weights that sum to one in each class, of so many people and pairs of people."""
    value = log_ratio / math.log(10)
    one, other = (value[same], weight[same]), (value[~same], weight[~same])
    upper = _reach(one, other, persons, person_pairs)
    mirrored = ((-other[0], other[1]), (-one[0], one[1]))
    return Bounds(-_reach(*mirrored, person_pairs, persons), upper)


def _reach(one: tuple[Floats, Floats], other: tuple[Floats, Floats], count_one: int, count_other: int) -> float:
    """The last t = 0, 0.01, … before miss + 10^t * false alarm passes one, with one error added to each.

    miss: share of `one` (values, weights) at or below t; false alarm: share of `other` above t.
    """
    t: Floats = STEP * np.arange(round(LARGEST / STEP) + 1, dtype=np.float64)
    miss = (count_one * _at_most(*one, t) + 1) / (count_one + 1)
    alarm = (count_other * (1 - _at_most(*other, t)) + 1) / (count_other + 1)
    passed = np.flatnonzero(miss + 10**t * alarm > 1)
    return float(t[max(0, int(passed[0]) - 1)]) if len(passed) else LARGEST


def _at_most(value: Floats, weight: Floats, t: Floats) -> Floats:
    """Weighted share of `value` at or below each of `t`, rounding errors taken off at the ends."""
    order = np.argsort(value)
    share = np.concatenate([[0.0], np.cumsum(weight[order])])
    found: Floats = np.minimum(share[np.searchsorted(value[order], t, side="right")] / share[-1], 1.0)
    return found
