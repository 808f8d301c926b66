"""What chance alone does: identities drawn anew (bootstrap), and signs flipped.

Of thousands of differences at once, in blocks of memory. Shapes: B resamples, T trials, I identities, R differences.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RESAMPLES = 10_000
BLOCK = 1 << 21  # values worked on at a time, 16 MiB: thousands of runs need no more memory than ten


def bootstrap(sums: Array, counts: Array, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """The statistic on `resamples` draws of the identities with replacement: [resamples].

    How often each identity is drawn is multinomial, so that a resample is a row of weights and all of them together
    are one matrix product. sums, counts: [T, I].
    """
    replicates: Array = _resampled(counts, resamples, seed) @ by_denominator(sums, counts)
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


def by_denominator(sums: Array, counts: Array) -> Array:
    """Sums [..., T, I] added over the trials with equal counts: [..., K * I], in the order of `_resampled`.

    Such trials have the same denominator in any resample, so one quotient serves them all.
    """
    distinct, kind = np.unique(counts, axis=0, return_inverse=True)
    kind = kind.reshape(-1)  # NumPy 2.0 gave it another shape
    added = np.stack([sums[..., kind == k, :].sum(axis=-2) for k in range(len(distinct))], axis=-2)
    return added.reshape(*sums.shape[:-2], -1)


def _resampled(counts: Array, resamples: int, seed: int) -> Array:
    """What each resample multiplies the sums of `by_denominator` with, to give the mean over its trials: [B, K * I].

    A trial of which a resample holds no query takes no part in its mean.
    """
    weights = resampling_weights(counts.shape[1], resamples, seed)
    distinct, trials = np.unique(counts, axis=0, return_counts=True)
    totals = weights @ distinct.T
    used = (trials * (totals > 0)).sum(axis=1, keepdims=True)
    inverse = np.divide(1.0, totals * used, out=np.zeros(totals.shape), where=totals > 0)
    inverse[used[:, 0] == 0] = math.nan
    shares: Array = (inverse[:, :, None] * weights[:, None, :]).reshape(resamples, -1)
    return shares


def bootstrap_std(summed: Array, counts: Array, resamples: int, seed: int) -> Array:
    """Standard deviations of the bootstrap of R differences, given as `by_denominator` does, [R, K * I]: [R].

    With more differences than columns, the resamples are first brought to as many rows as columns that give the same
    variances (a QR decomposition; the deviations from the mean are what varies).
    """
    factors = _resampled(counts, resamples, seed)
    if len(summed) > summed.shape[1]:
        triangle = np.asarray(np.linalg.qr(factors - factors.mean(axis=0), mode="r"))
        lengths: Array = np.linalg.norm(summed @ triangle.T, axis=1) / math.sqrt(resamples)
        return lengths
    return np.concatenate([(factors @ summed[rows].T).std(axis=0) for rows in _slices(len(summed), resamples)])


@lru_cache(maxsize=4)
def resampling_weights(identities: int, resamples: int, seed: int) -> Array:
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


def blocks(arrays: Iterable[Array]) -> Iterator[list[Array]]:
    """Lists of arrays, each about a BLOCK."""
    block: list[Array] = []
    for array in arrays:
        block.append(array)
        if len(block) * array.size >= BLOCK:
            yield block
            block = []
    if block:
        yield block
