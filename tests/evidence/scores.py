"""Made scores and searches for the tests of the evidence."""

from __future__ import annotations

import numpy as np

from engine.search.searches import Searches, assemble
from handreid_tui.evidence.pairs import Pairs

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def two_classes(one: np.ndarray, other: np.ndarray) -> Arrays:
    """Values, whether of one person, and weights that sum to one in each class: [n] each."""
    same = np.concatenate([np.ones(len(one), bool), np.zeros(len(other), bool)])
    weight = np.concatenate([np.full(len(one), 1 / len(one)), np.full(len(other), 1 / len(other))])
    return np.concatenate([one, other]), same, weight


def hands_of(people: int, images: int, noise: float, seed: int, dims: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Unit features [people * images, dims] around a mean a person, and the persons' names."""
    random = np.random.default_rng(seed)
    means = random.normal(size=(people, dims))
    number = np.repeat(np.arange(people), images)
    features = means[number] + noise * random.normal(size=(len(number), dims))
    return features / np.linalg.norm(features, axis=1, keepdims=True), np.array([f"{n:03}" for n in number])


def made_searches(own: np.ndarray, others: np.ndarray, person: np.ndarray | None = None) -> Searches:
    """Searches with scores `own` [S] and `others` [S, K]; each of a person of its own, unless `person` [S] says."""
    person = np.arange(len(own)) if person is None else person
    return assemble([f"{n}" for n in range(int(person.max()) + 1)], person, own, [others])


def repeated(pairs: Pairs, person: int, times: int) -> Pairs:
    """With every pair of a person `times` times."""
    own = (pairs.a == person) | (pairs.b == person)
    again = np.concatenate([np.arange(len(pairs.score)), *[np.flatnonzero(own)] * (times - 1)])
    return Pairs(pairs.people, pairs.a[again], pairs.b[again], pairs.score[again])
