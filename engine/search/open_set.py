"""Open-set identification: how often a person who is enrolled is missed, and one who is not gives a candidate.

The terms are those of ISO/IEC 19795-1 and NIST's FRTE 1:N. Each search is made twice, with the person enrolled
(mated, N people) and without (non-mated, N - 1 people), so nobody is withheld at random. For a smaller gallery of n
people the expectation over all random galleries of n is exact: the number of people drawn who reach a threshold is
hypergeometric.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.search.searches import ROUNDING, Floats, Rows, Searches, search_trials

FPIRS = {"fnir_at_fpir_1e1": 0.1, "fnir_at_fpir_1e2": 0.01}  # metrics of a report: FNIR where FPIR is at most this


def open_set_metrics(features: Floats, identity: NDArray[np.str_], trials: Sequence[Rows]) -> dict[str, float]:
    """FNIR at each of FPIRS, one threshold for all trials; `features` [N, D] of unit length, `identity` [N].

    NaN where features are not finite, and where nobody is enrolled beside the person searched for.
    """
    unknown = dict.fromkeys(FPIRS, float("nan"))
    if not np.isfinite(features).all():
        return unknown
    try:
        searches = search_trials(features, identity, trials, best_only=True)
    except ValueError:
        return unknown
    return false_negatives_at(searches)


def false_negatives_at(searches: Searches) -> dict[str, float]:
    """FNIR at each of FPIRS; NaN where a search has nobody else to find."""
    if not people_without(searches):
        return dict.fromkeys(FPIRS, float("nan"))
    return {key: false_negative_rate(searches, threshold_at(searches, fpir)) for key, fpir in FPIRS.items()}


def false_positive_rate(searches: Searches, threshold: float, size: int | None = None) -> float:
    """FPIR(n, T): share of non-mated searches in which anybody of n people reaches T; `size` None: all N - 1."""
    return float(false_positives(searches, size)(threshold).mean())


def false_negative_rate(
    searches: Searches, threshold: float = -np.inf, rank: int | None = None, size: int | None = None
) -> float:
    """FNIR(n, R, T): share of mated searches in which the person is below T or not among the first R.

    `rank` None: the whole gallery is the list. NaN where no query has a mate.
    """
    hit = listed(searches, rank, size) * (searches.own >= threshold)
    return float(1 - hit[searches.mated].mean()) if searches.mated.any() else float("nan")


def selectivity(searches: Searches, threshold: float) -> float:
    """SEL(T): mean number of people at or above T in a non-mated search."""
    return float(searches.at_least(threshold).mean())


def threshold_at(searches: Searches, fpir: float, size: int | None = None) -> float:
    """T(x): the smallest threshold with FPIR(n, T) at most `fpir`. A score passes it by more than rounding."""
    return _threshold(candidate_thresholds(searches, size), false_positives(searches, size), fpir)


def match_rate(searches: Searches, threshold: float) -> float:
    """FMR(T): share of all comparisons of two people that reach T."""
    return float(searches.at_least(threshold).sum() / max(1, searches.count.sum()))


def modelled_false_positive_rate(searches: Searches, threshold: float, size: int) -> float:
    """1 - (1 - FMR)^n: what n independent comparisons would give. A model, for galleries larger than the one tested."""
    return float(-np.expm1(size * np.log1p(-min(match_rate(searches, threshold), 1 - 1e-16))))


def modelled_threshold(searches: Searches, fpir: float, size: int) -> float:
    """The smallest threshold at which the model gives at most `fpir`."""
    return _threshold(_scores(searches), lambda t: np.array(modelled_false_positive_rate(searches, t, size)), fpir)


def people_without(searches: Searches) -> int:
    """The most people that every non-mated search has: N - 1."""
    return int(searches.count.min()) if len(searches.count) else 0


Rates = Callable[[float], Floats]


def false_positives(searches: Searches, size: int | None) -> Rates:
    """For a threshold, each search's chance [S] that anybody of `size` people drawn from its others reaches it."""
    if size is None:
        return lambda threshold: (searches.best >= threshold).astype(float)
    chance = ChanceOfAny(searches, size)
    return lambda threshold: chance(searches.at_least(threshold)[:, None])[:, 0]


class ChanceOfAny:
    """1 - C(K - m, n) / C(K, n): the chance that n people drawn from K include one of m."""

    def __init__(self, searches: Searches, size: int) -> None:
        counts, self._kind = np.unique(searches.count, return_inverse=True)
        widest = int(counts.max(initial=0))
        table = np.zeros((len(counts), widest + 1))
        for row, total in enumerate(counts.tolist()):
            drawn = min(size, total)
            above = np.arange(total)
            missed = np.cumprod(np.maximum(total - drawn - above, 0) / np.maximum(total - above, 1))
            table[row, 1 : total + 1] = 1 - missed
        self._table = table

    def __call__(self, above: NDArray[np.int64]) -> Floats:
        """`above` [S, T]: how many of a search's others reach each threshold."""
        chance: Floats = self._table[self._kind.reshape(-1)[:, None], above]
        return chance


def listed(searches: Searches, rank: int | None, size: int | None) -> Floats:
    """Each search's chance [S] that the person is among the first `rank` of `size` people."""
    if rank is None:
        return np.ones(len(searches.own))
    if size is None:
        return (searches.ahead < rank).astype(float)
    return _chance_at_most(searches.count, searches.ahead, np.minimum(size - 1, searches.count), rank - 1)


def _chance_at_most(total: NDArray[np.int64], marked: NDArray[np.int64], drawn: NDArray[np.int64], most: int) -> Floats:
    """P(H <= most), H the marked ones among `drawn` of `total` people; arrays [S]."""
    from scipy.special import gammaln

    def log_choose(n: NDArray[np.int64], k: NDArray[np.int64]) -> Floats:
        fits = (k >= 0) & (k <= n)
        inside = np.where(fits, k, 0)
        found: Floats = np.where(fits, gammaln(n + 1) - gammaln(inside + 1) - gammaln(n - inside + 1), -np.inf)
        return found

    chance = np.zeros(len(total))
    for hits in range(most + 1):
        some = np.full(len(total), hits)
        chance += np.exp(log_choose(marked, some) + log_choose(total - marked, drawn - some) - log_choose(total, drawn))
    return np.minimum(chance, 1.0)


def _threshold(candidates: Floats, rates: Rates, fpir: float) -> float:
    """The smallest of -inf and `candidates` (ascending) at which the mean rate is at most `fpir`, by bisection."""
    if float(rates(-np.inf).mean()) <= fpir:
        return -np.inf
    low, high = -1, len(candidates) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if float(rates(float(candidates[middle])).mean()) <= fpir else (middle, high)
    return float(candidates[high])


def candidate_thresholds(searches: Searches, size: int | None) -> Floats:
    return _just_above(searches.best) if size is None else _scores(searches)


def _scores(searches: Searches) -> Floats:
    return _just_above(searches.others.reshape(-1))


def _just_above(scores: Floats) -> Floats:
    found: Floats = np.unique(scores[np.isfinite(scores)]) + ROUNDING
    return found
