"""How sure is a difference between two combinations? Pure numpy; docs/statistics.md says why it is done this way.

Every statistic here is a ratio of sums over test identities, averaged over trials: per trial the sum of (say) AP over
the queries, divided by their number. Shapes: S seeds, T trials, I identities.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from handreid_tui.compare.resampling import RESAMPLES, Array, blocks, bootstrap_std, by_denominator, sign_flips

CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE
SEEDS_FOR_A_VERDICT = 6  # 2 / 2^6 = 0.031 is the first exact two-sided p below 0.05

Part = tuple[Array, int | Array]  # standard errors [R] and their degrees of freedom
Errors = Sequence[Part]


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
    if len(values) == 1:
        return Spread(float(values[0]), None, 1)
    array = np.asarray(values, dtype=float)
    return Spread(float(array.mean()), float(array.std(ddof=1)), len(array))


def paired_difference(
    a: Array, b: Array, counts: Array, resamples: int = RESAMPLES, seed: int = 0, more: Errors = ()
) -> Difference:
    """a minus b, on the same queries of the same identities.

    a, b: sums over the queries of each identity, [S, T, I] (S = 1 on one side is paired with every seed of the
    other); counts: the number of those queries, [T, I].

    The uncertainty has two parts. Identities: a paired bootstrap (all queries of an identity, in all trials and seeds,
    are drawn together). Seeds, from two on: by how much the seeds' differences scatter more than the identities
    explain, in a two-way layout (Obuchowski and Rockette 1995). Each part reaches as far as its own number of
    degrees of freedom demands. With one seed the interval speaks of these two trained models only.

    more: further parts, such as the search for the settings.
    """
    sums = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    return differences_of_sums([sums], counts, resamples, seed, more=more)[0]


def differences_of_sums(
    sums: Iterable[Array],
    counts: Array,
    resamples: int = RESAMPLES,
    seed: int = 0,
    replicates: Sequence[Array] | None = None,
    more: Errors = (),
) -> list[Difference]:
    """`paired_difference` for each a - b of `sums`, all of one shape [S, T, I] and on the same queries.

    `replicates`: of each difference its value in each resample [B], where it is more than a ratio of sums: a rate at a
    threshold that each resample finds anew. `more`: further independent parts of the uncertainty, each with a value for
    each of the differences. Ten thousand differences cost little more than their sums over identities: what does not
    depend on the runs is computed once.
    """
    parts = [_parts(np.stack(block), counts) for block in blocks(sums)]
    estimate, by_seed, of_seeds, scatter, contributions, summed = map(np.concatenate, zip(*parts, strict=True))
    seeds, identities = by_seed.shape[1], contributions.shape[1]
    p_identities = sign_flips(contributions, resamples, seed)
    p_seeds = sign_flips(by_seed).tolist() if seeds >= SEEDS_FOR_A_VERDICT else [None] * len(estimate)
    if identities < 2:
        half, p = np.full(len(estimate), math.nan), np.ones(len(estimate))
    else:
        # a resample varies by (I - 1) / I of the variance of a new sample
        drawn = (
            bootstrap_std(summed, counts, resamples, seed)
            if replicates is None
            else np.array([np.nanstd(each) for each in replicates])
        )
        of_identities = drawn * math.sqrt(identities / (identities - 1))
        errors: list[Part] = [(of_identities, identities - 1), *more]
        reach = [*errors, (of_seeds, seeds - 1)] if seeds > 1 else errors
        half = half_widths(reach, ALPHA)
        # one degree of freedom cannot tell scatter from interaction: a claim from two seeds must survive all of it
        p = np.maximum(_p_values(np.abs(estimate), [*errors, (scatter, 1)] if seeds == 2 else reach), p_identities)
    columns = [column.tolist() for column in (estimate, estimate - half, estimate + half, p, p_identities)]
    return [
        Difference(middle, low, high, claimed, by_identity, by_seeds, identities, seeds)
        for middle, low, high, claimed, by_identity, by_seeds in zip(*columns, p_seeds, strict=True)
    ]


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
        return "One seed: the intervals apply to these trained models, not to the combinations."
    words = (
        f"{seeds} seeds: a test over seeds alone cannot reach a verdict (its smallest p is {2 / 2**seeds:.3g}); "
        f"it takes {SEEDS_FOR_A_VERDICT} seeds."
    )
    return (
        f"{words} With two, hardly any difference is distinguishable from chance: train a third."
        if seeds == 2
        else words
    )


def half_widths(parts: Errors, alpha: float | Array) -> Array:
    """Half the widths of 1 - alpha intervals, [R].

    Each part is stretched by its own quantile of Student's t, then they are added as squares (Howe 1974): few seeds
    must not borrow the identities' many degrees of freedom.
    """
    from scipy.special import stdtrit  # late: scipy takes a noticeable part of the start of the program

    squared: Array = sum((stdtrit(freedom, 1 - alpha / 2) * error) ** 2 for error, freedom in parts)
    return np.sqrt(squared)


def _p_values(estimates: Array, parts: Errors) -> Array:
    """The alphas at which the intervals just touch zero, not below 1e-12: of several parts by bisection."""
    if len(parts) == 1:
        from scipy.special import stdtr

        (error, freedom), nothing = parts[0], estimates == 0
        quantile = np.divide(estimates, error, out=np.full(len(error), math.inf), where=error > 0)
        return np.where(nothing, 1.0, np.maximum(2 * stdtr(freedom, -quantile), 1e-12))
    low, high = np.full(len(estimates), 1e-12), np.ones(len(estimates))
    clear = half_widths(parts, low) <= estimates
    for _ in range(60):
        middle = np.sqrt(low * high)
        inside = half_widths(parts, middle) <= estimates
        low, high = np.where(inside, low, middle), np.where(inside, middle, high)
    return np.where(clear, np.where(estimates > 0, 1e-12, 1.0), high)


def _parts(difference: Array, counts: Array) -> tuple[Array, ...]:
    """What the tests need of differences [R, S, T, I].

    Estimates [R], by seed [R, S], their errors from the seeds [R] and whole scatter [R], the identities' contributions
    [R, I], and the sums that the bootstrap weighs [R, K * I].
    """
    cells = _linearised(difference, counts)
    mean = difference.mean(axis=1)
    contributions = (mean / counts.sum(axis=-1, keepdims=True)).mean(axis=1)
    return (
        cells.mean(axis=(1, 2)),
        cells.mean(axis=2),
        *_errors_of_seeds(cells),
        contributions,
        by_denominator(mean, counts),
    )


def _linearised(difference: Array, counts: Array) -> Array:
    """Per seed and identity a value whose mean over identities is the seed's statistic: [..., S, I].

    The ratio of sums is expanded to first order, so that variances of the ratio are variances of means.
    """
    totals = counts.sum(axis=-1, keepdims=True)
    ratio = difference.sum(axis=-1, keepdims=True) / totals
    cells: Array = (ratio + difference.shape[-1] * (difference - ratio * counts) / totals).mean(axis=-2)
    return cells


def _errors_of_seeds(cells: Array) -> tuple[Array, Array]:
    """Standard error of the mean that comes from the seeds alone, and the whole of their scatter. cells: [R, S, I].

    The seeds' differences scatter also because each seed meets each identity differently. The identities' bootstrap
    holds that part already, so the interaction is taken off the first.
    """
    rows, seeds, identities = cells.shape
    if seeds == 1 or identities == 1:
        return np.zeros(rows), np.zeros(rows)
    by_seed = cells.mean(axis=2, keepdims=True)
    residual = cells - by_seed - cells.mean(axis=1, keepdims=True) + cells.mean(axis=(1, 2), keepdims=True)
    interaction = (residual**2).sum(axis=(1, 2)) / ((seeds - 1) * (identities - 1)) / (seeds * identities)
    scatter = by_seed[..., 0].var(axis=1, ddof=1) / seeds
    return np.sqrt(np.maximum(scatter - interaction, 0.0)), np.sqrt(scatter)
