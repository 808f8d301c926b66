"""Likelihood ratios of pairs by a calibrator that saw neither of their persons, bounded in the same way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.contract.errors import UserError
from engine.search.searches import Floats
from handreid_tui.evidence.bounds import Bounds, bounds
from handreid_tui.evidence.likelihood_ratio import Calibrator, fit
from handreid_tui.evidence.pairs import Pairs

FOLDS = 5
LEAST_PEOPLE = 20


@dataclass(frozen=True)
class Calibrated:
    """A calibrator with the bounds of the people that it was fitted on."""

    calibrator: Calibrator
    bounds: Bounds
    persons: int
    person_pairs: int

    def __call__(self, score: Floats) -> Floats:
        """Bounded ln LR of scores [n]."""
        return self.bounds.clip(self.calibrator(score))


def calibrate(pairs: Pairs) -> Calibrated:
    """Fit on all of `pairs`."""
    if not pairs.same.any() or pairs.same.all():
        raise UserError("Likelihood ratios require image pairs of the same person and of different people.")
    calibrator = fit(pairs.score, pairs.same, pairs.weight)
    found = bounds(calibrator(pairs.score), pairs.same, pairs.weight, pairs.persons, pairs.person_pairs)
    return Calibrated(calibrator, found, pairs.persons, pairs.person_pairs)


def require_people(pairs: Pairs, what: str) -> None:
    """Raises UserError below 20 people: bounds and errors of fewer say nothing."""
    if pairs.persons < LEAST_PEOPLE:
        raise UserError(
            f"{what} has {pairs.persons} people with enough images, and a likelihood ratio requires at least "
            f"{LEAST_PEOPLE}: test on more people, or use fewer images per template (--images)."
        )


def cross_fitted(pairs: Pairs, folds: int = FOLDS, seed: int = 0) -> Floats:
    """Bounded ln LR of each pair [n], by calibrators fitted on people of neither person's fold: 15 fits of 5 folds."""
    people = np.unique(pairs.a[pairs.same])
    fold = np.zeros(len(pairs.people), dtype=np.int64)
    fold[np.random.default_rng(seed).permutation(people)] = np.arange(len(people)) % folds
    first, second = fold[pairs.a], fold[pairs.b]
    low, high = np.minimum(first, second), np.maximum(first, second)
    found = np.empty(len(pairs.score))
    for left in range(folds):
        for right in range(left, folds):
            held_out = (low == left) & (high == right)
            if not held_out.any():
                continue
            apart = (first != left) & (first != right) & (second != left) & (second != right)
            found[held_out] = calibrate(pairs.only(apart))(pairs.score[held_out])
    return found
