"""Exact search of a template among people: no index that could miss somebody."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.search.searches import ROUNDING

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Enrolled:
    """People with their templates [P, D] of unit length, and how many images each is of, [P]."""

    people: list[str]
    templates: Features
    images: NDArray[np.int64]


@dataclass(frozen=True)
class Hit:
    """A person with the cosine to the unknown one. `rank` is shared by equal scores, `tied` says so."""

    person: str
    score: float
    images: int
    rank: int
    tied: bool

    @property
    def place(self) -> str:
        """`2`, or `2=` where several share the rank."""
        return f"{self.rank}{'=' if self.tied else ''}"


def enrol(persons: list[str], features: Features) -> Enrolled:
    """Templates from the features [N, D] of the images of `persons` [N]: means of unit features, of unit length."""
    names, number = np.unique(np.array(persons), return_inverse=True)
    number = number.reshape(-1)
    order = np.argsort(number, kind="stable")
    starts = np.searchsorted(number[order], np.arange(len(names)))
    sums = features if len(names) == len(persons) and (order == np.arange(len(order))).all() else None
    if sums is None:
        sums = np.add.reduceat(features[order], starts, axis=0)
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    templates = (sums / np.maximum(length, 1e-12)).astype(np.float32, copy=False)
    return Enrolled(names.tolist(), templates, np.bincount(number, minlength=len(names)))


def search(enrolled: Enrolled, probe: Features, length: int) -> list[Hit]:
    """The best `length` people by cosine to the template `probe` [D], best first, and all who tie with the last.

    Scores that only rounding tells apart share a rank.
    """
    score = enrolled.templates @ probe
    count = min(length, len(score))
    last = float(np.partition(score, len(score) - count)[len(score) - count]) - ROUNDING
    chosen = np.flatnonzero(score >= last)
    chosen = chosen[np.argsort(-score[chosen], kind="stable")]
    hits: list[Hit] = []
    group: list[int] = []
    for place, row in enumerate(chosen.tolist()):
        if group and float(score[chosen[group[0]]]) - float(score[row]) > ROUNDING:
            group = []
        group.append(place)
        hits.append(Hit(enrolled.people[row], float(score[row]), int(enrolled.images[row]), group[0] + 1, False))
    ranks = [hit.rank for hit in hits]
    return [Hit(h.person, h.score, h.images, h.rank, ranks.count(h.rank) > 1) for h in hits]
