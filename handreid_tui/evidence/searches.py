"""Searches of a person in a gallery, each made with the person enrolled and without.

A search is one query (an image, or a template of several) against one gallery. Of every person enrolled only the best
score counts, so that a gallery of N people gives N scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.contract.errors import UserError
from handreid_tui.compare.evaluation import Evaluation, Trial
from handreid_tui.evidence.people import Ints, People

Floats = NDArray[np.float64]
ROUNDING = 4 * float(np.finfo(np.float32).eps)  # scores that only rounding tells apart are equal, as in the metrics


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


def searches_of_trials(evaluation: Evaluation) -> Searches:
    """Every query of every trial. Raises UserError on features that are not finite, or without any query."""
    people = People.of(evaluation.identity.tolist())
    features = finite_features(evaluation)
    parts = [_trial(features, evaluation.identity, people, trial) for trial in evaluation.trials]
    person, own, others = zip(*parts, strict=True)
    if not sum(map(len, person)):
        raise UserError(f"{evaluation.folder} has no query, so there is nothing to search for.")
    return assemble(people.names, np.concatenate(person), np.concatenate(own), list(others))


def finite_features(evaluation: Evaluation) -> Floats:
    """The features [N, D] in double precision. Raises UserError where one is not finite."""
    features = evaluation.features.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise UserError(f"{evaluation.folder}: the feature of {evaluation.names[int(bad[0])]} is not finite.")
    return features


def assemble(people: list[str], person: Ints, own: Floats, others: list[Floats]) -> Searches:
    """Searches from blocks of `others` [S_i, K_i], -inf where nobody is compared."""
    widest = max(block.shape[1] for block in others)
    padded = [np.pad(b, ((0, 0), (widest - b.shape[1], 0)), constant_values=-np.inf) for b in others]
    ordered = np.sort(np.concatenate(padded), axis=1)
    count = np.sum(ordered > -np.inf, axis=1)
    return Searches(people, person, own, ordered[:, ordered.shape[1] - int(count.max(initial=0)) :], count)


def _trial(features: Floats, identity: NDArray[np.str_], people: People, trial: Trial) -> tuple[Ints, Floats, Floats]:
    """Persons [Q], own scores [Q] and others' scores [Q, people enrolled] of a trial; -inf for the person searched for.

    Images of the same person in another aspect are neither mates nor others: they are left out.
    """
    gallery = trial.gallery[np.argsort(people.person[trial.gallery], kind="stable")]
    enrolled, first = np.unique(people.person[gallery], return_index=True)
    score = features[trial.query] @ features[gallery].T
    searched = people.person[trial.query]
    mate = identity[trial.query][:, None] == identity[gallery]
    best_mate = np.where(mate, score, -np.inf).max(axis=1, initial=-np.inf)
    own = np.where(mate.any(axis=1), best_mate, np.nan)
    if not len(gallery):
        return searched, own, np.empty((len(searched), 0))
    best = np.maximum.reduceat(score, first, axis=1)
    return searched, own, np.where(searched[:, None] == enrolled, -np.inf, best)
