"""How sure is a difference between two combinations? Pure numpy; docs/statistics.md says why it is done this way.

Every statistic here is a ratio of sums over test identities, averaged over trials: per trial the sum of (say) AP over
the queries, divided by their number. Shapes: S seeds, T trials, I identities.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE
RESAMPLES = 10_000
SEEDS_FOR_A_VERDICT = 6  # 2 / 2^6 = 0.031 is the first exact two-sided p below 0.05


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (None below two values) of `n` values, one a seed."""

    mean: float
    std: float | None
    n: int


@dataclass(frozen=True)
class Difference:
    """A difference of means with its 95 % interval and its tests. NaN bounds: one identity gives no interval.

    `p` is what a claim rests on: the larger of the interval's own p and the sign-flip p over identities.
    """

    estimate: float
    low: float
    high: float
    p: float
    p_identities: float
    p_seeds: float | None
    identities: int
    seeds: int


def spread(values: list[float]) -> Spread:
    """Mean ± sample standard deviation (n - 1) of the values of the seeds."""
    array = np.asarray(values, dtype=float)
    std = float(array.std(ddof=1)) if len(array) > 1 else None
    return Spread(float(array.mean()), std, len(array))


def paired_difference(a: Array, b: Array, counts: Array, resamples: int = RESAMPLES, seed: int = 0) -> Difference:
    """a minus b, on the same queries of the same identities.

    a, b: sums over the queries of each identity, [S, T, I] (S = 1 on one side is paired with every seed of the
    other); counts: the number of those queries, [T, I].

    The uncertainty has two parts. Identities: a paired bootstrap (all queries of an identity, in all trials and seeds,
    are drawn together). Seeds, from two on: by how much the seeds' differences scatter more than the identities
    explain, in a two-way layout (Obuchowski and Rockette 1995). Each part reaches as far as its own number of
    degrees of freedom demands. With one seed the interval speaks of these two trained models only.
    """
    difference = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    seeds, _, identities = difference.shape
    cells = _linearised(difference, counts)
    estimate = float(cells.mean())
    p_identities = sign_flip(_contributions(difference, counts), resamples, seed)
    by_seed = cells.mean(axis=1)
    p_seeds = sign_flip(by_seed) if seeds >= SEEDS_FOR_A_VERDICT else None
    if identities < 2:
        return Difference(estimate, math.nan, math.nan, 1.0, p_identities, p_seeds, identities, seeds)
    replicates = bootstrap(difference.mean(axis=0), counts, resamples, seed)
    # a resample varies by (I - 1) / I of the variance of a new sample
    of_identities = (math.sqrt(float(replicates.var()) * identities / (identities - 1)), identities - 1)
    of_seeds, cautious = _errors_of_seeds(cells)
    parts = [of_identities, (of_seeds, seeds - 1)] if seeds > 1 else [of_identities]
    half = half_width(parts, ALPHA)
    # one degree of freedom cannot tell scatter from interaction: a claim from two seeds must survive all of it
    p = max(_p_value(abs(estimate), [of_identities, (cautious, 1)] if seeds == 2 else parts), p_identities)
    return Difference(estimate, estimate - half, estimate + half, p, p_identities, p_seeds, identities, seeds)


def bootstrap(sums: Array, counts: Array, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """The statistic on `resamples` draws of the identities with replacement: [resamples].

    How often each identity is drawn is multinomial, so that a resample is a row of weights and all of them together
    are two matrix products. sums, counts: [T, I].
    """
    weights = _resampling_weights(sums.shape[1], resamples, seed)
    totals = weights @ counts.T
    ratios = np.divide(weights @ sums.T, totals, out=np.full(totals.shape, np.nan), where=totals > 0)
    return np.nanmean(ratios, axis=1)


def sign_flip(values: Array, resamples: int = RESAMPLES, seed: int = 0) -> float:
    """Two-sided p of the sign-flip test that `values` are symmetric about zero (Fisher 1935, section 21).

    Exact, over all 2^n sign patterns, up to n = 13; from `resamples` random ones above, the observed one counted in.
    """
    n = len(values)
    observed = abs(float(values.sum())) * (1 - 1e-9)  # equal sums must not differ by rounding
    if n <= 13:
        signs = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float((np.abs(signs @ values) >= observed).mean())
    return float(((np.abs(_random_signs(n, resamples, seed) @ values) >= observed).sum() + 1) / (resamples + 1))


def holm(p_values: list[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979): the chance of any false one at most alpha is alpha."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def seed_verdict(seeds: int) -> str:
    """What a test over `seeds` seeds alone could ever say, in words."""
    if seeds >= SEEDS_FOR_A_VERDICT:
        return f"{seeds} seeds: the exact sign-flip test over seeds can reach p = {2 / 2**seeds:.3g}."
    if seeds == 1:
        return "One seed: the intervals speak of these trained models, not of the combinations."
    words = (
        f"{seeds} seeds: a test over seeds alone cannot reach a verdict (its smallest p is {2 / 2**seeds:.3g}); "
        f"it takes {SEEDS_FOR_A_VERDICT} seeds."
    )
    return f"{words} With two, hardly any difference can be told from luck: train a third." if seeds == 2 else words


def half_width(parts: list[tuple[float, int]], alpha: float) -> float:
    """Half the width of a 1 - alpha interval from independent (standard error, degrees of freedom) parts.

    Each part is stretched by its own quantile of Student's t, then they are added as squares (Howe 1974): few seeds
    must not borrow the identities' many degrees of freedom.
    """
    from scipy.special import stdtrit  # late: scipy takes a noticeable part of the start of the program

    return math.hypot(*(float(stdtrit(freedom, 1 - alpha / 2)) * error for error, freedom in parts))


def _p_value(estimate: float, parts: list[tuple[float, int]]) -> float:
    """The alpha at which the interval just touches zero, by bisection; not below 1e-12."""
    low, high = 1e-12, 1.0
    if half_width(parts, low) <= estimate:
        return low if estimate > 0 else 1.0
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if half_width(parts, middle) <= estimate else (middle, high)
    return high


def _linearised(difference: Array, counts: Array) -> Array:
    """Per seed and identity a value whose mean over identities is the seed's statistic: [S, I].

    The ratio of sums is expanded to first order, so that variances of the ratio are variances of means.
    """
    totals = counts.sum(axis=-1, keepdims=True)
    ratio = difference.sum(axis=-1, keepdims=True) / totals
    return (ratio + difference.shape[-1] * (difference - ratio * counts) / totals).mean(axis=1)


def _contributions(difference: Array, counts: Array) -> Array:
    """What each identity adds to the statistic, [I]: exchanging a and b for one identity flips its sign exactly."""
    return (difference.mean(axis=0) / counts.sum(axis=-1, keepdims=True)).mean(axis=0)


def _errors_of_seeds(cells: Array) -> tuple[float, float]:
    """Standard error of the mean that comes from the seeds alone, and the whole of their scatter. cells: [S, I].

    The seeds' differences scatter also because each seed meets each identity differently. The identities' bootstrap
    holds that part already, so the interaction is taken off the first.
    """
    seeds, identities = cells.shape
    if seeds == 1:
        return 0.0, 0.0
    by_seed = cells.mean(axis=1)
    residual = cells - by_seed[:, None] - cells.mean(axis=0) + cells.mean()
    interaction = float((residual**2).sum()) / ((seeds - 1) * (identities - 1)) / (seeds * identities)
    scatter = float(by_seed.var(ddof=1)) / seeds
    return math.sqrt(max(scatter - interaction, 0.0)), math.sqrt(scatter)


@lru_cache(maxsize=4)
def _resampling_weights(identities: int, resamples: int, seed: int) -> Array:
    generator = np.random.default_rng(seed)
    return generator.multinomial(identities, np.full(identities, 1 / identities), size=resamples).astype(float)


@lru_cache(maxsize=4)
def _random_signs(n: int, resamples: int, seed: int) -> Array:
    return np.random.default_rng(seed).choice([-1.0, 1.0], size=(resamples, n))
