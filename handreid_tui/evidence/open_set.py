"""Open-set identification: how often a person who is enrolled is missed, and one who is not gives a candidate.

The terms are those of ISO/IEC 19795-1 and NIST's FRTE 1:N. Each search is made twice, with the person enrolled
(mated, N people) and without (non-mated, N - 1 people), so nobody is withheld at random. For a smaller gallery of n
people the expectation over all random galleries of n is exact: the number of people drawn who reach a threshold is
hypergeometric.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from handreid_tui.evidence.resamples import ResampledEstimate, quotient, rate, weights
from handreid_tui.evidence.searches import ROUNDING, Floats, Searches

GRID = 1_000  # thresholds that the bootstrap looks at


def false_positive_rate(searches: Searches, threshold: float, size: int | None = None) -> float:
    """FPIR(n, T): share of non-mated searches in which anybody of n people reaches T; `size` None: all N - 1."""
    return float(_false_positive(searches, size)(threshold).mean())


def false_negative_rate(
    searches: Searches, threshold: float = -np.inf, rank: int | None = None, size: int | None = None
) -> float:
    """FNIR(n, R, T): share of mated searches in which the person is below T or not among the first R.

    `rank` None: the whole gallery is the list. NaN where no query has a mate.
    """
    hit = _listed(searches, rank, size) * (searches.own >= threshold)
    return float(1 - hit[searches.mated].mean()) if searches.mated.any() else float("nan")


def selectivity(searches: Searches, threshold: float) -> float:
    """SEL(T): mean number of people at or above T in a non-mated search."""
    return float(searches.at_least(threshold).mean())


def threshold_at(searches: Searches, fpir: float, size: int | None = None) -> float:
    """T(x): the smallest threshold with FPIR(n, T) at most `fpir`. A score passes it by more than rounding."""
    return _threshold(_candidates(searches, size), _false_positive(searches, size), fpir)


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


def _false_positive(searches: Searches, size: int | None) -> Rates:
    """For a threshold, each search's chance [S] that anybody of `size` people drawn from its others reaches it."""
    if size is None:
        return lambda threshold: (searches.best >= threshold).astype(float)
    chance = _ChanceOfAny(searches, size)
    return lambda threshold: chance(searches.at_least(threshold)[:, None])[:, 0]


class _ChanceOfAny:
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


def _listed(searches: Searches, rank: int | None, size: int | None) -> Floats:
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


def _candidates(searches: Searches, size: int | None) -> Floats:
    return _just_above(searches.best) if size is None else _scores(searches)


def _scores(searches: Searches) -> Floats:
    return _just_above(searches.others.reshape(-1))


def _just_above(scores: Floats) -> Floats:
    found: Floats = np.unique(scores[np.isfinite(scores)]) + ROUNDING
    return found


@dataclass(frozen=True)
class OpenSet:
    """Error rates of `searches` with 95 % intervals by person; `size` None: the gallery as it is."""

    searches: Searches
    size: int | None = None

    @cached_property
    def people(self) -> NDArray[np.int64]:
        """Who is searched for."""
        return np.unique(self.searches.person)

    @cached_property
    def _place(self) -> NDArray[np.int64]:
        return np.searchsorted(self.people, self.searches.person)

    @cached_property
    def _thresholds(self) -> Floats:
        """At most GRID candidates, ascending, dense where few people reach them."""
        candidates = _candidates(self.searches, self.size)
        if len(candidates) > GRID:
            steps = np.unique(np.geomspace(1, len(candidates), GRID).astype(int))
            candidates = candidates[len(candidates) - steps[::-1]]
        return np.concatenate([[-np.inf], candidates])

    def _by_person(self, values: Floats) -> Floats:
        """Sums [I, ...] over each person's searches of `values` [S, ...]."""
        sums = np.zeros((len(self.people), *values.shape[1:]))
        np.add.at(sums, self._place, values)
        return sums

    @cached_property
    def _sums(self) -> tuple[Floats, Floats, Floats, Floats]:
        """False positives [I, T] and non-mated searches [I], misses [I, T] and mated searches [I]."""
        grid, searches = self._thresholds, self.searches
        if self.size is None:
            positive = (searches.best[:, None] >= grid).astype(float)
        else:
            below = np.stack([np.searchsorted(row, grid) for row in searches.others])
            positive = _ChanceOfAny(searches, self.size)(
                np.minimum(searches.others.shape[1] - below, searches.count[:, None])
            )
        missed = np.where(searches.mated[:, None], ~(searches.own[:, None] >= grid), False).astype(float)
        ones = np.ones(len(searches.own))
        return (
            self._by_person(positive),
            self._by_person(ones),
            self._by_person(missed),
            self._by_person(searches.mated.astype(float)),
        )

    @cached_property
    def _curves(self) -> tuple[Floats, Floats]:
        """FPIR and FNIR of each resample at each threshold, [RESAMPLES, T] each; T found again in each of them."""
        positive, searched, missed, mated = self._sums
        drawn = weights(len(self.people))
        return (
            quotient(drawn @ positive, np.broadcast_to((drawn @ searched)[:, None], (len(drawn), positive.shape[1]))),
            quotient(drawn @ missed, np.broadcast_to((drawn @ mated)[:, None], (len(drawn), missed.shape[1]))),
        )

    def false_negatives_at(self, fpir: float) -> ResampledEstimate:
        """FNIR at the threshold where FPIR is at most `fpir`."""
        value = false_negative_rate(self.searches, threshold_at(self.searches, fpir, self.size))
        return rate(value, self._replicates(fpir), self._mated_people)

    def _replicates(self, fpir: float) -> Floats:
        positive, missed = self._curves
        found: Floats = missed[np.arange(len(missed)), np.argmax(positive <= fpir, axis=1)]
        return found

    @property
    def _mated_people(self) -> int:
        return int(np.count_nonzero(self._sums[3]))

    def missed_within(self, rank: int) -> ResampledEstimate:
        """FNIR without a threshold: the person is not among the first `rank` (investigation mode)."""
        missed = np.where(self.searches.mated, 1 - _listed(self.searches, rank, self.size), 0.0)
        drawn, mated = weights(len(self.people)), self._sums[3]
        value = false_negative_rate(self.searches, rank=rank, size=self.size)
        return rate(value, quotient(drawn @ self._by_person(missed), drawn @ mated), self._mated_people)

    def of_group(self, members: NDArray[np.bool_], fpir: float) -> tuple[ResampledEstimate, ResampledEstimate]:
        """FNIR and FPIR of the people marked in `members` [I], at the one threshold of all people."""
        positive, searched, missed, mated = self._sums
        threshold, drawn = threshold_at(self.searches, fpir, self.size), weights(len(self.people)) * members
        at = np.argmax(self._curves[0] <= fpir, axis=1)
        each, chosen = np.arange(len(drawn)), members[self._place]
        replicates = (
            quotient((drawn @ missed)[each, at], drawn @ mated),
            quotient((drawn @ positive)[each, at], drawn @ searched),
        )
        own = chosen & self.searches.mated
        fnir = float((self.searches.own[own] < threshold).mean()) if own.any() else float("nan")
        fpir_of = float(_false_positive(self.searches, self.size)(threshold)[chosen].mean()) if chosen.any() else np.nan
        count, mated_count = int(members.sum()), int(np.count_nonzero(mated * members))
        return rate(fnir, replicates[0], mated_count), rate(fpir_of, replicates[1], count)

    def curve(self, rates: Floats) -> list[ResampledEstimate]:
        """FNIR with its interval at each of `rates` (FPIR): a DET curve and its band."""
        return [self.false_negatives_at(float(each)) for each in rates]
