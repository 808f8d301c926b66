"""Open-set error rates of searches with their 95 % intervals by person."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.search.open_set import (
    ChanceOfAny,
    candidate_thresholds,
    false_negative_rate,
    false_positives,
    listed,
    threshold_at,
)
from engine.search.searches import Floats, Searches
from handreid_tui.evidence.resamples import ResampledEstimate, quotient, rate, weights

GRID = 1_000  # thresholds that the bootstrap looks at


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
        candidates = candidate_thresholds(self.searches, self.size)
        if len(candidates) > GRID:
            steps = np.unique(np.geomspace(1, len(candidates), GRID).astype(int))
            candidates = candidates[len(candidates) - steps[::-1]]
        return np.concatenate([[-np.inf], candidates])

    def _by_person(self, values: Floats) -> Floats:
        """Sums [I, ...] over each person's searches of `values` [S, ...]."""
        order = np.argsort(self._place, kind="stable")
        first = np.searchsorted(self._place[order], np.arange(len(self.people)))
        sums: Floats = np.add.reduceat(values[order], first, axis=0)
        return sums

    @cached_property
    def _sums(self) -> tuple[Floats, Floats, Floats, Floats]:
        """False positives [I, T] and non-mated searches [I], misses [I, T] and mated searches [I]."""
        grid, searches = self._thresholds, self.searches
        if self.size is None:
            positive = (searches.best[:, None] >= grid).astype(float)
        else:
            below = np.stack([np.searchsorted(row, grid) for row in searches.others])
            positive = ChanceOfAny(searches, self.size)(
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
        return rate(value, self.replicates(fpir), self._mated_people)

    def missed_by_person(self, threshold: float) -> tuple[Floats, Floats]:
        """Mated searches [I] of each person that do not reach `threshold`, and all of them [I]."""
        missed = self.searches.mated & ~(self.searches.own >= threshold)
        return self._by_person(missed.astype(float)), self._by_person(self.searches.mated.astype(float))

    def replicates(self, fpir: float) -> Floats:
        """FNIR of each resample [RESAMPLES] at its own threshold."""
        positive, missed = self._curves
        found: Floats = missed[np.arange(len(missed)), np.argmax(positive <= fpir, axis=1)]
        return found

    @property
    def _mated_people(self) -> int:
        return int(np.count_nonzero(self._sums[3]))

    def missed_within(self, rank: int) -> ResampledEstimate:
        """FNIR without a threshold: the person is not among the first `rank` (investigation mode)."""
        missed = np.where(self.searches.mated, 1 - listed(self.searches, rank, self.size), 0.0)
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
        fpir_of = float(false_positives(self.searches, self.size)(threshold)[chosen].mean()) if chosen.any() else np.nan
        count, mated_count = int(members.sum()), int(np.count_nonzero(mated * members))
        return rate(fnir, replicates[0], mated_count), rate(fpir_of, replicates[1], count)

    def curve(self, rates: Floats) -> list[ResampledEstimate]:
        """FNIR with its interval at each of `rates` (FPIR): a DET curve and its band."""
        return [self.false_negatives_at(float(each)) for each in rates]
