"""How good likelihood ratios are. Arrays [n] of one class each: ln LR, and weights that sum to one."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from handreid_tui.evidence.likelihood_ratio import isotonic

Floats = NDArray[np.float64]
LN2 = math.log(2)
STRENGTHS = (10, 100, 1000)


def cost(log_ratio: Floats, same: NDArray[np.bool_]) -> Floats:
    """Each pair's cost in bits, [n]: log2(1 + 1 / LR) for one person, log2(1 + LR) for two."""
    found: Floats = np.logaddexp(0, np.where(same, -log_ratio, log_ratio)) / LN2
    return found


def cllr(log_ratio: Floats, same: NDArray[np.bool_], weight: Floats) -> float:
    """Cost of the log likelihood ratio (Brümmer and du Preez 2006): 0 perfect, 1 what LR = 1 always costs."""
    return float(weight @ cost(log_ratio, same)) / 2


def cllr_min(score: Floats, same: NDArray[np.bool_], weight: Floats) -> float:
    """The Cllr after the best monotone calibration: what the scores can tell apart."""
    p = isotonic(score, same, weight)
    right = np.where(same, p, 1 - p)
    return float(weight @ -np.log2(np.maximum(right, 1e-300))) / 2


def expected_entropy(log_ratio: Floats, same: NDArray[np.bool_], weight: Floats, prior: float | Floats) -> Floats:
    """Empirical cross-entropy in bits at prior probabilities of the same person (Ramos, Gonzalez-Rodriguez 2008)."""
    priors = np.atleast_1d(np.asarray(prior, dtype=float))
    found = np.empty(len(priors))
    for place, p in enumerate(priors.tolist()):
        shifted = cost(log_ratio + math.log(p / (1 - p)), same) * weight
        found[place] = p * shifted[same].sum() + (1 - p) * shifted[~same].sum()
    return found


def best_log_ratios(score: Floats, same: NDArray[np.bool_], weight: Floats) -> Floats:
    """ln LR of the best monotone calibration, [n]; infinite where the classes do not meet."""
    p = isotonic(score, same, weight)
    with np.errstate(divide="ignore"):
        found: Floats = np.log(p) - np.log1p(-p)
    return found


def exceeding(log_ratio: Floats, weight: Floats, at: Floats) -> Floats:
    """Weighted share of ln LR [n] that is larger than each of `at`: a Tippett curve, 1 - CDF."""
    order = np.argsort(log_ratio)
    share = np.concatenate([[0.0], np.cumsum(weight[order])])
    found: Floats = 1 - np.minimum(share[np.searchsorted(log_ratio[order], at, side="right")] / share[-1], 1.0)
    return found
