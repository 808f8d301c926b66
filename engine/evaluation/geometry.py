"""The shape of an embedding: how compact each identity is, and how far apart identities are."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize, pdist

CHUNK = 1 << 23  # similarities held at once: 32 MB


@torch.no_grad()
def geometry(features: Tensor, identity: Tensor) -> dict[str, float]:
    """Five numbers about L2-normalised `features` [N, D] whose identities are `identity` [N]; Euclidean distances.

    - intra: mean distance of an image to the mean of its identity (compactness)
    - inter: mean distance between the means of two identities (separation)
    - ratio: intra / inter
    - hard_gap: mean of an image's distance to its furthest positive minus that to its nearest negative; below zero
      where identities are apart
    - angle: mean angle, in degrees, of an image to the direction of its identity's mean

    An identity with one image is its own mean: it leaves intra, angle and hard_gap and stays in inter. What has nothing
    to average is NaN.
    """
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    _, identity, count = identity.unique(return_inverse=True, return_counts=True)
    total = features.new_zeros(len(count), features.shape[1]).index_add_(0, identity, features)
    means = total / count[:, None]
    shared = count[identity] > 1
    images, own = features[shared], identity[shared]

    direction = normalize(means)[own]
    # exact for small angles, where the arc cosine is not
    angle = 2 * torch.atan2((images - direction).norm(dim=1), (images + direction).norm(dim=1))
    intra = (images - means[own]).norm(dim=1).mean()
    inter = pdist(means).mean()
    gap = _hard_gap(features, identity, shared) if len(count) > 1 else intra.new_tensor(torch.nan)
    values = torch.stack([intra, inter, intra / inter, gap, angle.rad2deg().mean()])
    return dict(zip(("intra", "inter", "ratio", "hard_gap", "angle"), values.tolist(), strict=True))


def _hard_gap(features: Tensor, identity: Tensor, shared: Tensor) -> Tensor:
    gaps = []
    for rows in shared.nonzero().squeeze(1).split(max(1, CHUNK // len(features))):
        similarity = features[rows] @ features.T
        same = identity[rows, None] == identity
        nearest = similarity.masked_fill(same, -torch.inf).argmax(dim=1)
        # the image itself is among these, but never the furthest
        furthest = similarity.masked_fill(~same, torch.inf).argmin(dim=1)
        anchor = features[rows]
        gaps.append((anchor - features[furthest]).norm(dim=1) - (anchor - features[nearest]).norm(dim=1))
    return torch.cat(gaps).mean() if gaps else features.new_tensor(torch.nan)
