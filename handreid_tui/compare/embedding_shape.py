"""What each loss is said to do to the embedding, as a figure per identity of the stored test features.

Each takes unit-length features [N, D] and identity numbers [N] (0 … I-1, every one with at least two images) and
returns the sum over the images of each identity, [I]. The first two are free of scale: a model that moves all images
closer together gains nothing. The third is an angle, since the margin that it stands for is one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NOTHING = 1e-6  # a distance that is only rounding: where all means coincide, a cluster is as wide as they are apart
ROWS = 512  # images whose distances to all the others are in memory at once


def silhouette(features: Floats, identity: Ints) -> Floats:
    """Per image (b - a) / max(a, b) (Rousseeuw 1987): a is the mean distance to the other images of its identity, b
    the mean distance to the images of the nearest other identity. Above zero: identities lie further apart than
    images of one. In [-1, 1]."""
    counts = np.bincount(identity)
    member = np.eye(len(counts))[identity]
    values = np.empty(len(features))
    for start in range(0, len(features), ROWS):
        rows = slice(start, start + ROWS)
        of = identity[rows]
        sums = _distances(features[rows], features) @ member
        own = np.arange(len(of)), of
        within = sums[own] / (counts[of] - 1)
        means = sums / counts
        means[own] = np.inf
        between = means.min(axis=1)
        largest = np.maximum(within, between)
        values[rows] = np.divide(between - within, largest, out=np.zeros(len(of)), where=largest > 0)
    return _summed(values, identity)


def relative_radius(features: Floats, identity: Ints) -> Floats:
    """Per image its distance to its identity's mean, in units of that mean's mean distance to the other means."""
    means = _means(features, identity)
    apart = _distances(means, means).sum(axis=1) / (len(means) - 1)
    radius = np.linalg.norm(features - means[identity], axis=1)
    spaced = apart[identity] > NOTHING
    return _summed(np.divide(radius, apart[identity], out=np.ones_like(radius), where=spaced), identity)


def angular_margin(features: Floats, identity: Ints) -> Floats:
    """Per image, in degrees: the angle to the nearest mean direction of another identity minus the angle to the mean
    direction of the other images of its own (Deng et al. 2019, section 3: the margin that ArcFace asks for)."""
    sums = _means(features, identity) * np.bincount(identity)[:, None]
    angles = np.arccos(np.clip(features @ _unit(sums).T, -1, 1))
    own = np.arange(len(features)), identity
    without_itself = _unit(sums[identity] - features)
    to_own = np.arccos(np.clip((features * without_itself).sum(axis=1), -1, 1))
    angles[own] = np.inf
    return _summed(np.degrees(angles.min(axis=1) - to_own), identity)


def _summed(values: Floats, identity: Ints) -> Floats:
    return np.bincount(identity, weights=values).astype(float)


def _means(features: Floats, identity: Ints) -> Floats:
    counts = np.bincount(identity)
    return (np.eye(len(counts))[identity].T @ features) / counts[:, None]


def _distances(a: Floats, b: Floats) -> Floats:
    """Euclidean, [len(a), len(b)]."""
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    distances: Floats = np.sqrt(np.maximum(squared, 0))
    return distances


def _unit(vectors: Floats) -> Floats:
    length: Floats = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return vectors / length
