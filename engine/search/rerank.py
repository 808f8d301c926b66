"""k-reciprocal re-ranking (Zhong, Zheng, Cao and Li 2017, CVPR: Re-ranking person re-identification with k-reciprocal
encoding).

A query is compared with a gallery image by their neighbourhoods among all queries and gallery images of the trial, so
a rank depends on the other queries too. Sizes and the scale of the distance are those of the authors' own program.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]
K1, K2, SHARE = 20, 6, 0.3  # section 4.2: neighbours, neighbours averaged over, share of the original distance


def rerank(query: Floats, gallery: Floats, k1: int = K1, k2: int = K2, share: float = SHARE) -> Floats:
    """Distances [Q, G] of unit features [Q, D] and [G, D]: share * original + (1 - share) * Jaccard (equation 12).

    Needs a few matrices of (Q + G) x (Q + G) float32.
    """
    features = np.concatenate([query, gallery]).astype(np.float64)
    squared = np.maximum(2 - 2 * features @ features.T, 0).astype(np.float32)
    np.fill_diagonal(squared, 0)
    distance = squared / np.maximum(squared.max(axis=1, keepdims=True), 1e-12)
    order = np.argsort(distance, axis=1, kind="stable")
    encoded = _encode(distance, _reciprocal(order, k1), _reciprocal(order, round(k1 / 2)))
    if k2 > 1:  # local query expansion, equation 11
        encoded = np.stack([encoded[row].mean(axis=0) for row in order[:, :k2]])
    count = len(query)
    jaccard = np.empty((count, len(gallery)), np.float32)
    for place, row in enumerate(encoded[:count]):
        shared = np.flatnonzero(row)
        least = np.minimum(row[shared], encoded[count:, shared]).sum(axis=1)
        jaccard[place] = 1 - least / (2 - least)  # equation 10: rows sum to one
    found: Floats = share * distance[:count, count:] + (1 - share) * jaccard
    return found


def _reciprocal(order: NDArray[np.int64], k: int) -> Flags:
    """R(p, k): who is among the first k of each other, [N, N]; each is its own nearest (equation 2)."""
    near = np.zeros((len(order), len(order)), bool)
    np.put_along_axis(near, order[:, : k + 1], True, axis=1)
    return near & near.T


def _encode(distance: Floats, reciprocal: Flags, half: Flags) -> Floats:
    """R*(p, k) as a vector of exp(-distance) a row, scaled to sum one, [N, N] (equations 3, 4 and 7)."""
    encoded = np.zeros_like(distance)
    for place, own in enumerate(reciprocal):
        members = np.flatnonzero(own)
        of_members = half[members]
        joins = of_members[:, members].sum(axis=1) > 2 / 3 * of_members.sum(axis=1)
        chosen = own | of_members[joins].any(axis=0)
        weights = np.exp(-distance[place, chosen])
        encoded[place, chosen] = weights / weights.sum()
    return encoded
