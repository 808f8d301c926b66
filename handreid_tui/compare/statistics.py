"""How sure is a difference between two combinations? Pure numpy; docs/statistics.md says why it is done this way.

Every statistic here is a ratio of sums over test identities, averaged over trials: per trial the sum of (say) AP over
the queries, divided by their number. Shapes: S seeds, T trials, I identities.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE
RESAMPLES = 10_000
BLOCK = 1 << 21  # values worked on at a time, 16 MiB: thousands of runs need no more memory than ten
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
    if len(values) == 1:
        return Spread(float(values[0]), None, 1)
    array = np.asarray(values, dtype=float)
    return Spread(float(array.mean()), float(array.std(ddof=1)), len(array))


def paired_difference(a: Array, b: Array, counts: Array, resamples: int = RESAMPLES, seed: int = 0) -> Difference:
    """a minus b, on the same queries of the same identities.

    a, b: sums over the queries of each identity, [S, T, I] (S = 1 on one side is paired with every seed of the
    other); counts: the number of those queries, [T, I].

    The uncertainty has two parts. Identities: a paired bootstrap (all queries of an identity, in all trials and seeds,
    are drawn together). Seeds, from two on: by how much the seeds' differences scatter more than the identities
    explain, in a two-way layout (Obuchowski and Rockette 1995). Each part reaches as far as its own number of
    degrees of freedom demands. With one seed the interval speaks of these two trained models only.
    """
    return differences_of_sums([np.asarray(a, dtype=float) - np.asarray(b, dtype=float)], counts, resamples, seed)[0]


def differences_of_sums(
    sums: Iterable[Array], counts: Array, resamples: int = RESAMPLES, seed: int = 0
) -> list[Difference]:
    """`paired_difference` for each a - b of `sums`, all of one shape [S, T, I] and on the same queries.

    Ten thousand of them cost little more than their sums over identities: what does not depend on the runs is computed
    once.
    """
    parts = [_parts(np.stack(block), counts) for block in _blocks(sums)]
    estimate, by_seed, of_seeds, scatter, contributions, summed = map(np.concatenate, zip(*parts, strict=True))
    seeds, identities = by_seed.shape[1], contributions.shape[1]
    p_identities = sign_flips(contributions, resamples, seed)
    p_seeds = sign_flips(by_seed).tolist() if seeds >= SEEDS_FOR_A_VERDICT else [None] * len(estimate)
    if identities < 2:
        half, p = np.full(len(estimate), math.nan), np.ones(len(estimate))
    else:
        # a resample varies by (I - 1) / I of the variance of a new sample
        of_identities = _bootstrap_std(summed, counts, resamples, seed) * math.sqrt(identities / (identities - 1))
        errors = [(of_identities, identities - 1)]
        reach = [*errors, (of_seeds, seeds - 1)] if seeds > 1 else errors
        half = half_widths(reach, ALPHA)
        # one degree of freedom cannot tell scatter from interaction: a claim from two seeds must survive all of it
        p = np.maximum(_p_values(np.abs(estimate), [*errors, (scatter, 1)] if seeds == 2 else reach), p_identities)
    columns = (estimate, estimate - half, estimate + half, p, p_identities)
    rows = zip(*(column.tolist() for column in columns), p_seeds, strict=True)
    return [Difference(*row, identities, seeds) for row in rows]


def bootstrap(sums: Array, counts: Array, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """The statistic on `resamples` draws of the identities with replacement: [resamples].

    How often each identity is drawn is multinomial, so that a resample is a row of weights and all of them together
    are one matrix product. sums, counts: [T, I].
    """
    replicates: Array = _resampled(counts, resamples, seed) @ _by_denominator(sums, counts)
    return replicates


def sign_flip(values: Array, resamples: int = RESAMPLES, seed: int = 0) -> float:
    """Two-sided p of the sign-flip test that `values` are symmetric about zero (Fisher 1935, section 21).

    Exact, over all 2^n sign patterns, up to n = 13; from `resamples` random ones above, the observed one counted in.
    """
    return float(sign_flips(values[None], resamples, seed)[0])


def sign_flips(values: Array, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """`sign_flip` for each row of `values`, [R, n]."""
    n = values.shape[1]
    rounding = 1e-12 * np.abs(values).sum(axis=1)  # equal sums must not differ by it, nor be it where they are zero
    observed = np.abs(values.sum(axis=1)) * (1 - 1e-9) - rounding
    signs = _all_signs(n) if n <= 13 else _random_signs(n, resamples, seed)
    reached = np.zeros(len(values), dtype=int)
    for rows in _slices(len(signs), n):
        some = signs[rows].astype(float)
        for columns in _slices(len(values), len(some)):
            flipped = some @ values[columns].T
            reached[columns] += (np.abs(flipped, out=flipped) >= observed[columns]).sum(axis=0)
    return reached / len(signs) if n <= 13 else (reached + 1) / (resamples + 1)


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


Errors = list[tuple[Array, int]]  # independent parts: standard errors [R] and their degrees of freedom


def half_widths(parts: Errors, alpha: float | Array) -> Array:
    """Half the widths of 1 - alpha intervals, [R].

    Each part is stretched by its own quantile of Student's t, then they are added as squares (Howe 1974): few seeds
    must not borrow the identities' many degrees of freedom.
    """
    from scipy.special import stdtrit  # late: scipy takes a noticeable part of the start of the program

    squared: Array = sum((stdtrit(freedom, 1 - alpha / 2) * error) ** 2 for error, freedom in parts)
    return np.sqrt(squared)


def _p_values(estimates: Array, parts: Errors) -> Array:
    """The alphas at which the intervals just touch zero, by bisection; not below 1e-12."""
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
        _by_denominator(mean, counts),
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


def _by_denominator(sums: Array, counts: Array) -> Array:
    """Sums [..., T, I] added over the trials with equal counts: [..., K * I], in the order of `_resampled`.

    Such trials have the same denominator in any resample, so one quotient serves them all.
    """
    distinct, kind = np.unique(counts, axis=0, return_inverse=True)
    added = np.stack([sums[..., kind == k, :].sum(axis=-2) for k in range(len(distinct))], axis=-2)
    return added.reshape(*sums.shape[:-2], -1)


def _resampled(counts: Array, resamples: int, seed: int) -> Array:
    """What each resample multiplies the sums of `_by_denominator` with, to give the mean over its trials: [B, K * I].

    A trial of which a resample holds no query takes no part in its mean.
    """
    weights = _resampling_weights(counts.shape[1], resamples, seed)
    distinct, trials = np.unique(counts, axis=0, return_counts=True)
    totals = weights @ distinct.T
    used = (trials * (totals > 0)).sum(axis=1, keepdims=True)
    inverse = np.divide(1.0, totals * used, out=np.zeros(totals.shape), where=totals > 0)
    inverse[used[:, 0] == 0] = math.nan
    return (inverse[:, :, None] * weights[:, None, :]).reshape(resamples, -1)


def _bootstrap_std(summed: Array, counts: Array, resamples: int, seed: int) -> Array:
    """Standard deviations of the bootstrap of R differences, given as `_by_denominator` does, [R, K * I]: [R].

    With more differences than columns, the resamples are first brought to as many rows as columns that give the same
    variances (a QR decomposition; the deviations from the mean are what varies).
    """
    factors = _resampled(counts, resamples, seed)
    if len(summed) > summed.shape[1]:
        triangle = np.linalg.qr(factors - factors.mean(axis=0), mode="r")
        lengths: Array = np.linalg.norm(summed @ triangle.T, axis=1) / math.sqrt(resamples)
        return lengths
    return np.concatenate([(factors @ summed[rows].T).std(axis=0) for rows in _slices(len(summed), resamples)])


@lru_cache(maxsize=4)
def _resampling_weights(identities: int, resamples: int, seed: int) -> Array:
    generator = np.random.default_rng(seed)
    return generator.multinomial(identities, np.full(identities, 1 / identities), size=resamples).astype(float)


def _all_signs(n: int) -> NDArray[np.int8]:
    return (1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)).astype(np.int8)


@lru_cache(maxsize=4)
def _random_signs(n: int, resamples: int, seed: int) -> NDArray[np.int8]:
    generator, signs = np.random.default_rng(seed), np.array([-1, 1], dtype=np.int8)
    drawn = [generator.choice(signs, size=(rows.stop - rows.start, n)) for rows in _slices(resamples, n)]
    return np.concatenate(drawn)


def _slices(count: int, values: int) -> Iterator[slice]:
    """Parts of `count` rows of so many values, each about a BLOCK."""
    step = max(1, BLOCK // max(values, 1))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def _blocks(arrays: Iterable[Array]) -> Iterator[list[Array]]:
    """Lists of arrays, each about a BLOCK."""
    block: list[Array] = []
    for array in arrays:
        block.append(array)
        if len(block) * array.size >= BLOCK:
            yield block
            block = []
    if block:
        yield block
