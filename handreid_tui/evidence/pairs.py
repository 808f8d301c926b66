"""Pairs of test images, or of templates of several, with weights that count people and not pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.data.people import Ints, People
from engine.search.searches import Floats, Searches, assemble
from handreid_tui.evidence.resamples import ResampledEstimate, figure, quotient, weights

DRAWS = 20  # of probe and reference images, where a template is of several


@dataclass(frozen=True)
class Pairs:
    """Scores of n pairs: of persons `a` and `b` [n], places in `people`; `same` where they are one person.

    Every person here has a pair of the same person.
    """

    people: list[str]
    a: Ints
    b: Ints
    score: Floats

    @cached_property
    def same(self) -> NDArray[np.bool_]:
        same: NDArray[np.bool_] = self.a == self.b
        return same

    @cached_property
    def weight(self) -> Floats:
        """Each person's pairs sum to 1 / I, each unordered pair of persons' to 1 / P: one in either class, [n]."""
        code = np.minimum(self.a, self.b) * len(self.people) + np.maximum(self.a, self.b)
        _, which, count = np.unique(code, return_inverse=True, return_counts=True)
        share = 1 / count[which.reshape(-1)]
        totals = np.array([share[~self.same].sum(), share[self.same].sum()])
        found: Floats = share / np.where(self.same, totals[1], totals[0])
        return found

    @cached_property
    def persons(self) -> int:
        """I: how many people the same-person pairs are of."""
        return len(np.unique(self.a[self.same]))

    @cached_property
    def person_pairs(self) -> int:
        """P: how many pairs of different people there are."""
        different = ~self.same
        low, high = np.minimum(self.a, self.b)[different], np.maximum(self.a, self.b)[different]
        return len(np.unique(low * len(self.people) + high))

    def only(self, kept: NDArray[np.bool_]) -> Pairs:
        """The marked ones, with weights of their own."""
        return Pairs(self.people, self.a[kept], self.b[kept], self.score[kept])

    def mean(self, values: Floats, same: bool) -> ResampledEstimate:
        """Weighted mean of `values` [n] over one class, with an interval by person."""
        return figure(*self._resampled(values, same), self.persons)

    def balanced_mean(self, values: Floats) -> ResampledEstimate:
        """Mean of the weighted means of `values` [n] over the two classes, with an interval by person."""
        (one, drawn), (other, drawn_others) = self._resampled(values, True), self._resampled(values, False)
        return figure((one + other) / 2, (drawn + drawn_others) / 2, self.persons)

    def resampled_weights(self, resamples: int) -> Iterator[Floats]:
        """The weights [n] in resamples of the persons, one in either class: a pair counts as in `_resampled`."""
        number = np.unique(np.concatenate([self.a, self.b]))
        place = np.searchsorted(number, self.a), np.searchsorted(number, self.b)
        for drawn in weights(len(number))[:resamples]:
            count = np.where(self.same, drawn[place[0]], drawn[place[0]] * drawn[place[1]]) * self.weight
            totals = np.array([count[~self.same].sum(), count[self.same].sum()])
            if totals.all():
                yield count / np.where(self.same, totals[1], totals[0])

    def _resampled(self, values: Floats, same: bool) -> tuple[float, Floats]:
        """The weighted mean over a class, and that of each resample of the persons.

        A pair of two people counts as often as both are drawn, multiplied.
        """
        chosen = self.same == same
        number, total = np.unique(np.concatenate([self.a, self.b])), len(self.people)
        sums, present = np.zeros((total, total)), np.zeros((total, total))
        place = (np.minimum(self.a, self.b)[chosen], np.maximum(self.a, self.b)[chosen])
        np.add.at(sums, place, values[chosen] * self.weight[chosen])
        np.add.at(present, place, self.weight[chosen])
        sums, present = sums[np.ix_(number, number)], present[np.ix_(number, number)]
        drawn = weights(len(number))
        mean = float(quotient(sums.sum(), present.sum()))
        if same:
            return mean, quotient(drawn @ sums.diagonal(), drawn @ present.diagonal())
        return mean, quotient(((drawn @ sums) * drawn).sum(axis=1), ((drawn @ present) * drawn).sum(axis=1))


@dataclass(frozen=True)
class Shape:
    """How many images a probe and a reference are made of; 1:1 are all pairs of images."""

    probe: int = 1
    reference: int = 1

    @property
    def text(self) -> str:
        return f"{self.probe}:{self.reference}"

    @property
    def needed(self) -> int:
        return self.probe + self.reference


def pair_scores(features: Floats, people: People, shape: Shape, population: NDArray[np.str_] | None = None) -> Pairs:
    """All pairs of one aspect, of people with enough images. `features` [N, D] of unit length.

    `population` [N]: only people with equal entries are paired as different people.
    """
    rows = enough(people, shape)
    parts = (
        _image_pairs(features, people, rows) if shape.needed == 2 else _template_pairs(features, people, rows, shape)
    )
    first, second, score = (np.concatenate(column) for column in zip(*parts, strict=True))
    a, b = people.person[first], people.person[second]
    if population is not None:
        kept = (a == b) | (population[first] == population[second])
        a, b, score = a[kept], b[kept], score[kept]
    return Pairs(people.names, a, b, score)


def enough(people: People, shape: Shape) -> Ints:
    """The rows of the people who have enough images of an aspect for a probe and a reference."""
    unit = _units(people)
    return np.flatnonzero(np.bincount(unit)[unit] >= shape.needed) if len(unit) else np.empty(0, dtype=np.int64)


def _units(people: People) -> Ints:
    """A number for each person's aspect, [N]."""
    aspects, aspect = np.unique(people.aspect, return_inverse=True)
    found: Ints = people.person * max(1, len(aspects)) + aspect.reshape(-1)
    return np.unique(found, return_inverse=True)[1].reshape(-1)


Part = tuple[Ints, Ints, Floats]


def _image_pairs(features: Floats, people: People, rows: Ints) -> list[Part]:
    parts: list[Part] = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    for aspect in np.unique(people.aspect[rows]):
        own = rows[people.aspect[rows] == aspect]
        first, second = np.triu_indices(len(own), k=1)
        score = (features[own] @ features[own].T)[first, second]
        parts.append((own[first], own[second], score))
    return parts


def _template_pairs(features: Floats, people: People, rows: Ints, shape: Shape) -> list[Part]:
    parts: list[Part] = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    for first, probe, reference in _drawn_templates(features, people, rows, shape):
        comparable = people.aspect[first][:, None] == people.aspect[first]
        comparable &= (people.person[first][:, None] != people.person[first]) | np.eye(len(first), dtype=bool)
        left, right = np.nonzero(comparable)
        parts.append((first[left], first[right], (probe @ reference.T)[left, right]))
    return parts


def template_searches(features: Floats, people: People, shape: Shape) -> Searches:
    """Each person's probe template searched among all references, in each draw: a gallery of templates."""
    person, own, others = [], [], []
    for first, probe, reference in _drawn_templates(features, people, enough(people, shape), shape):
        score = probe @ reference.T
        excluded = people.aspect[first][:, None] != people.aspect[first]
        excluded |= people.person[first][:, None] == people.person[first]
        person.append(people.person[first])
        own.append(score.diagonal())
        others.append(np.where(excluded, -np.inf, score))
    return assemble(people.names, np.concatenate(person), np.concatenate(own), others)


def _drawn_templates(features: Floats, people: People, rows: Ints, shape: Shape) -> list[tuple[Ints, Floats, Floats]]:
    """For each draw: a row [U] and the probe and reference templates [U, D] of each person's aspect."""
    generator, units = np.random.default_rng(0), _units(people)[rows]
    drawn = []
    for _ in range(DRAWS):
        order = generator.permutation(len(rows))
        order = order[np.argsort(units[order], kind="stable")]
        starts = np.unique(units[order], return_index=True)[1]
        picked = rows[order][starts[:, None] + np.arange(shape.needed)]
        probe, reference = picked[:, : shape.probe], picked[:, shape.probe :]
        drawn.append((picked[:, 0], template(features[probe]), template(features[reference])))
    return drawn


def template(features: Floats) -> Floats:
    """The mean over the second last axis of unit features [..., M, D], scaled to unit length: [..., D]."""
    mean = features.mean(axis=-2)
    found: Floats = mean / np.maximum(np.linalg.norm(mean, axis=-1, keepdims=True), 1e-12)
    return found
