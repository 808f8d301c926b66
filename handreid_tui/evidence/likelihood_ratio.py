"""From a score to a likelihood ratio: a weighted logistic calibrator, and isotonic regression as the best possible.

Same person against another person of the population. Isotonic regression (PAV) is never the calibrator: its ratios
are 0 and infinite at the ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.contract.errors import UserError

Floats = NDArray[np.float64]
RIDGE = 1e-3  # on the slope of the standardised score, in units of the mean balanced loss
STEPS = 100


@dataclass(frozen=True)
class Calibrator:
    """ln LR = alpha + beta * score."""

    alpha: float
    beta: float

    def __call__(self, score: Floats) -> Floats:
        """ln LR of scores [n]."""
        return self.alpha + self.beta * score


def fit(score: Floats, same: NDArray[np.bool_], weight: Floats) -> Calibrator:
    """Class-balanced weighted logistic regression (Brümmer and du Preez 2006) with a ridge on the slope, by Newton.

    `weight` [n] sums to one in each class. Raises UserError where a higher score speaks against the same person.
    """
    share = weight / 2
    centre = float(share @ score)
    spread = float(np.sqrt(share @ (score - centre) ** 2))
    if spread < 1e-9:  # a constant score says nothing
        return Calibrator(0.0, 0.0)
    x, y = (score - centre) / spread, same.astype(float)
    design = np.stack([np.ones_like(x), x])
    penalty = np.diag([0.0, RIDGE])
    found = np.zeros(2)
    loss = _loss(found, design, y, share)
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(found @ design, -700, 700)))
        gradient = design @ (share * (p - y)) + penalty @ found
        curvature = (design * (share * p * (1 - p))) @ design.T + penalty + 1e-12 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        while (lower := _loss(found - step, design, y, share)) > loss + 1e-15 and np.abs(step).max() > 1e-14:
            step = step / 2
        found, loss = found - step, lower
        if np.abs(step).max() < 1e-10:
            break
    beta = float(found[1]) / spread
    if beta < 0:
        raise UserError(
            "Scores of the same person are lower than those of different people: no likelihood ratio can be given."
        )
    return Calibrator(float(found[0]) - beta * centre, beta)


def _loss(found: Floats, design: Floats, y: Floats, share: Floats) -> float:
    logit = found @ design
    return float(share @ np.logaddexp(0, np.where(y > 0, -logit, logit)) + RIDGE / 2 * found[1] ** 2)


def isotonic(score: Floats, same: NDArray[np.bool_], weight: Floats) -> Floats:
    """P(same person) [n] by pool-adjacent-violators at balanced weights, equal scores pooled; LR = p / (1 - p)."""
    from scipy.optimize import isotonic_regression

    _, place = np.unique(score, return_inverse=True)
    place = place.reshape(-1)
    total = np.bincount(place, weights=weight)
    share = np.bincount(place, weights=weight * same) / total
    found: Floats = np.clip(isotonic_regression(share, weights=total).x, 0.0, 1.0)[place]
    return found
