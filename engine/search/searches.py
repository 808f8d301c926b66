"""Searches of a person in a gallery, each made with the person enrolled and without.

A search is one query (an image, or a template of several) against one gallery. Of every person enrolled only the best
score counts, so that a gallery of N people gives N scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.data.people import Ints, People

Floats = NDArray[np.float64]
ROUNDING = 4 * float(np.finfo(np.float32).eps)  # scores that only rounding tells apart are equal, as in the metrics
CHUNK = 1 << 22  # scores held at once: 32 MB


class Rows(Protocol):
    """The rows of a trial's queries and of its gallery."""

    @property
    def query(self) -> Ints: ...

    @property
    def gallery(self) -> Ints: ...


@dataclass(frozen=True)
class TrialRows:
    """Rows of query [Q] and gallery [G] images."""

    query: Ints
    gallery: Ints


@dataclass(frozen=True)
class Searches:
    """S searches. `own` [S]: score of the person searched for, NaN where not enrolled.

    `others` [S, K]: the scores of the other people, ascending, filled up in front with -inf; `count` [S] says how many
    are real. `person` [S]: who is searched for, as a place in `people`.
    """

    people: list[str]
    person: Ints
    own: Floats
    others: Floats
    count: Ints

    @property
    def mated(self) -> NDArray[np.bool_]:
        return ~np.isnan(self.own)

    @cached_property
    def best(self) -> Floats:
        """The best other, [S]; -inf where nobody else is enrolled."""
        if not self.others.shape[1]:
            return np.full(len(self.own), -np.inf)
        best: Floats = self.others[:, -1]
        return best

    @cached_property
    def ahead(self) -> Ints:
        """How many others score at least as high as the own person, [S]: ties count against the model."""
        ahead: Ints = np.sum(self.others >= np.nan_to_num(self.own, nan=np.inf)[:, None] - ROUNDING, axis=1)
        return ahead

    def at_least(self, threshold: float) -> Ints:
        """How many others reach `threshold`, [S]."""
        reached: Ints = np.sum(self.others >= threshold, axis=1)
        return reached


def search_trials(
    features: Floats, identity: NDArray[np.str_], trials: Sequence[Rows], best_only: bool = False
) -> Searches:
    """Every query of every trial; `features` [N, D] of unit length, `identity` [N].

    best_only: of the others, keep the best alone, for rates that need no more. Raises ValueError without any query.
    """
    people = People.of(identity.tolist())
    parts = [_trial(features, identity, people, trial, best_only) for trial in trials]
    person, own, others = zip(*parts, strict=True)
    if not sum(map(len, person)):
        raise ValueError("a search needs a query")
    return assemble(people.names, np.concatenate(person), np.concatenate(own), list(others))


def assemble(people: list[str], person: Ints, own: Floats, others: list[Floats]) -> Searches:
    """Searches from blocks of `others` [S_i, K_i], -inf where nobody is compared."""
    widest = max(block.shape[1] for block in others)
    padded = [np.pad(b, ((0, 0), (widest - b.shape[1], 0)), constant_values=-np.inf) for b in others]
    ordered = np.sort(np.concatenate(padded), axis=1)
    count = np.sum(ordered > -np.inf, axis=1)
    return Searches(people, person, own, ordered[:, ordered.shape[1] - int(count.max(initial=0)) :], count)


def _trial(
    features: Floats, identity: NDArray[np.str_], people: People, trial: Rows, best_only: bool
) -> tuple[Ints, Floats, Floats]:
    """Persons [Q], own scores [Q] and others' scores [Q, people enrolled] of a trial; -inf for the person searched for.

    Images of the same person in another aspect are neither mates nor others: they are left out.
    """
    gallery = trial.gallery[np.argsort(people.person[trial.gallery], kind="stable")]
    enrolled, first = np.unique(people.person[gallery], return_index=True)
    searched = people.person[trial.query]
    if not len(gallery):
        return searched, np.full(len(searched), np.nan), np.empty((len(searched), 0))
    own, others = np.empty(len(searched)), []
    step = max(1, CHUNK // len(gallery))
    for start in range(0, len(searched), step):
        rows = slice(start, start + step)
        score = features[trial.query[rows]] @ features[gallery].T
        mate = identity[trial.query[rows]][:, None] == identity[gallery]
        own[rows] = np.where(mate.any(axis=1), np.where(mate, score, -np.inf).max(axis=1), np.nan)
        of_person = np.maximum.reduceat(score, first, axis=1)
        of_others = np.where(searched[rows][:, None] == enrolled, -np.inf, of_person)
        others.append(of_others.max(axis=1, keepdims=True) if best_only else of_others)
    return searched, own, np.concatenate(others) if others else np.empty((0, 0))
