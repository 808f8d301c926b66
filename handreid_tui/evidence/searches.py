"""The searches of a stored evaluation."""

from __future__ import annotations

import numpy as np

from engine.contract.errors import UserError
from engine.search.searches import Floats, Searches, search_trials
from handreid_tui.compare.evaluation import Evaluation


def searches_of_trials(evaluation: Evaluation, best_only: bool = False) -> Searches:
    """Every query of every trial. Raises UserError on features that are not finite, or without any query."""
    features = finite_features(evaluation)
    try:
        return search_trials(features, evaluation.identity, evaluation.trials, best_only)
    except ValueError:
        raise UserError(f"{evaluation.folder} has no query, so there is nothing to search for.") from None


def finite_features(evaluation: Evaluation) -> Floats:
    """The features [N, D] in double precision. Raises UserError where one is not finite."""
    features = evaluation.features.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise UserError(f"{evaluation.folder}: the feature of {evaluation.names[int(bad[0])]} is not finite.")
    return features
