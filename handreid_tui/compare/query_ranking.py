"""The order in which queries are shown, and each one's gallery as the metrics rank it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handreid_tui.compare.evaluation import Evaluation, Floats, Ints, Trial


@dataclass(frozen=True)
class RankedGallery:
    """`order` [G]: places of the trial's gallery, best first. `similarity` [G] and `match` [G]: by place, unordered."""

    order: Ints
    similarity: Floats
    match: NDArray[np.bool_]


def failures_first(trial: Trial) -> Ints:
    """Places of the trial's queries: the worst rank first, then the lowest AP; without a match at the end."""
    worst = np.where(trial.matched, -trial.rank, 1)
    places: Ints = np.lexsort((np.nan_to_num(trial.ap, nan=1.0), worst))
    return places


def rank_gallery(evaluation: Evaluation, trial: Trial, place: int) -> RankedGallery:
    """The gallery of the query at `place`, in the order of the run's protocol; similarity is the cosine.

    Ties count against the model: a match comes after its equals.
    """
    query = trial.query[place]
    similarity = evaluation.features[trial.gallery] @ evaluation.features[query]
    match = evaluation.identity[trial.gallery] == evaluation.identity[query]
    distance = evaluation.distances(trial)[place] if evaluation.reranked else -similarity
    return RankedGallery(np.lexsort((match, distance)), similarity, match)
