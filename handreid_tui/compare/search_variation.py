"""How much the result of a search would vary if it were repeated with other points. docs/statistics.md says why so.

The values of the search's trials are taken as one sample. Only its best quarter is used, because the settings that fail
say nothing about what the best would be in another search.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from handreid_tui.compare.resampling import Array

FEWEST_TRIALS = 8  # with four, 8 % of simulated tables held a wrong claim
BEST_SHARE = 0.25
NOISE_CONFIDENCE = 0.95  # that the noise of validation is at least what is subtracted


@dataclass(frozen=True)
class SearchError:
    """The standard deviation of the mAP (a fraction) that repeated searches find, and its degrees of freedom."""

    std: float
    freedom: int


@dataclass(frozen=True)
class Noise:
    """The variance of a validation value that is not due to the settings; degrees of freedom (0: unknown)."""

    variance: float = 0.0
    freedom: int = 0

    @property
    def lower_bound(self) -> float:
        """What the variance exceeds with a confidence of 95 %; 0 where nothing is known of it."""
        from scipy.special import chdtri  # late: scipy takes a noticeable part of the start of the program

        if not self.freedom:
            return 0.0
        return self.variance * self.freedom / float(chdtri(self.freedom, 1 - NOISE_CONFIDENCE))


def noise_of(tables: Sequence[Array]) -> Noise:
    """From validation values of settings on folds, [settings, folds], one table for each combination.

    Settings and folds differ; what remains is noise (the residual of a two-way layout).
    """
    squares, freedom = 0.0, 0
    for table in tables:
        if min(table.shape) < 2:
            continue
        rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
        squares += float((rest**2).sum())
        freedom += (table.shape[0] - 1) * (table.shape[1] - 1)
    return Noise(squares / freedom, freedom) if freedom else Noise()


def search_error(values: Sequence[float], noise: Noise) -> SearchError | None:
    """How much the quality of what was found would vary, from the validation of the trials; None with fewer than eight.

    noise: of a value in `values`. With trials that vary by σ, of which the share r is due to their settings, the
    settings with the best of n values vary by σ² r (r k + 1 - r), where k is the variance of the largest of n standard
    normal values. r is at most 1 - noise / σ².
    """
    count = len(values)
    if count < FEWEST_TRIALS:
        return None
    best = max(1, int(count * BEST_SHARE))
    ordered = np.sort(np.asarray(values, dtype=float))
    variance = float((ordered[-best:] - ordered[-best - 1]).sum() / _expected_spacing(count, best)) ** 2
    if not variance:
        return SearchError(0.0, best)
    k = _variance_of_largest(count)
    due = max(0.0, 1 - noise.lower_bound / variance)
    due = min(due, 1 / (2 * (1 - k)))  # the share at which the result varies most
    return SearchError(math.sqrt(variance * due * (due * k + 1 - due)), best)


def joint_error(errors: Sequence[SearchError]) -> SearchError:
    """Of the difference between searches, with the degrees of freedom of Welch and Satterthwaite; 0 without any."""
    parts = [(error.std**2, error.freedom) for error in errors]
    total = sum(variance for variance, _ in parts)
    if not total:
        return SearchError(0.0, 1)
    return SearchError(math.sqrt(total), int(total**2 / sum(variance**2 / freedom for variance, freedom in parts)))


def stretch(shares: Array, of_mean_precision: Array) -> float:
    """By how much more a metric differs between two rows than mAP does, over the identities; at least 1.

    Both: what each identity contributes to the difference, [I]. What a search adds is only known in units of mAP.
    """
    errors = [float(each.std()) * math.sqrt(len(each)) for each in (shares, of_mean_precision)]
    return max(1.0, errors[0] / errors[1]) if errors[1] else 1.0


@lru_cache
def _variance_of_largest(count: int) -> float:
    """Of the largest of `count` standard normal values."""
    from scipy.special import ndtr

    z = np.linspace(-9, 9, 4001)
    shares = np.diff(ndtr(z) ** count)
    middle = (z[1:] + z[:-1]) / 2
    mean = float(middle @ shares)
    return float((middle - mean) ** 2 @ shares)


@lru_cache
def _expected_spacing(count: int, best: int) -> float:
    """The sum of how far the largest `best` of `count` standard normal values lie above the next one (Blom 1958)."""
    from scipy.special import ndtri

    z = ndtri((np.arange(count - best, count + 1) - 0.375) / (count + 0.25))
    return float((z[1:] - z[0]).sum())
