"""Curves and a map from the stored evaluation of a run."""

from __future__ import annotations

import numpy as np

from handreid_tui.compare.evaluation import Evaluation, Floats, Ints

PAIRS = 4_000_000  # similarities that a ROC curve is made of at most; whole trials, at least one


def cumulative_matches(evaluation: Evaluation, ranks: int) -> Floats:
    """The share of queries whose first match is at rank k or before, for k = 1 … ranks; mean over trials."""
    shares = []
    for trial in evaluation.trials:
        first = trial.rank[trial.matched]
        hits = np.bincount(np.minimum(first, ranks + 1), minlength=ranks + 2)[1 : ranks + 1]
        shares.append(np.cumsum(hits) / max(len(first), 1))
    mean: Floats = np.mean(shares, axis=0)
    return mean


def true_accepts(evaluation: Evaluation, rates: Floats) -> Floats:
    """The share of genuine pairs accepted at each false accept rate, over all pairs of query and gallery."""
    genuine, impostor = [], []
    for trial in evaluation.trials:
        similarity = evaluation.features[trial.query] @ evaluation.features[trial.gallery].T
        same = evaluation.identity[trial.query][:, None] == evaluation.identity[trial.gallery]
        genuine.append(similarity[same])
        impostor.append(similarity[~same])
        if sum(map(len, impostor)) > PAIRS:
            break
    positives, negatives = np.concatenate(genuine), np.sort(np.concatenate(impostor))
    if not len(positives) or not len(negatives):
        return np.full(len(rates), np.nan)
    # the largest threshold at which at most that share of impostors scores higher
    place = np.clip(len(negatives) - 1 - np.floor(rates * len(negatives)).astype(int), -1, len(negatives) - 1)
    threshold = np.where(place < 0, -np.inf, negatives[place])
    ordered = np.sort(positives)
    return 1 - np.searchsorted(ordered, threshold, side="right") / len(ordered)


def projection(evaluation: Evaluation) -> tuple[Floats, Ints, Floats]:
    """The searched identities' features on their two main axes: points [N, 2], identities [N], variances [2]."""
    rows = np.flatnonzero(np.isin(evaluation.identity, evaluation.query_identities))
    features = evaluation.features[rows].astype(float)
    centred = features - features.mean(axis=0)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    axes = np.concatenate([axes, np.zeros((2, axes.shape[1]))])[:2]
    variance = np.concatenate([singular**2, [0.0, 0.0]])[:2] / max(float((singular**2).sum()), 1e-12)
    return centred @ axes.T, np.unique(evaluation.identity[rows], return_inverse=True)[1], variance
