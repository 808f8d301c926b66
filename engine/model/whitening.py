"""Whitening: what all images have in common counts less, what tells them apart counts more.

Features of one kind of image lie along a few directions, which dominate every distance. After a whitening by principal
components all directions vary alike (Jégou and Chum 2012, "Negative evidences and co-occurences in image retrieval: the
benefit of PCA and whitening"). It takes images, not identities.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DIRECTIONS = 256  # the others, of which a few hundred images say nothing, are treated alike
SHRINKAGE = 0.05  # share of the mean variance that every direction is given


class Whitening(nn.Module):
    """Features [B, D] to [B, D]: set to unit length, centered, whitened, and scaled to a mean square of 1.

    Until `fit` they are only set to one length.
    """

    mean: Tensor
    directions: Tensor
    gains: Tensor
    scale: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("directions", torch.zeros(DIRECTIONS, dim))
        self.register_buffer("gains", torch.zeros(DIRECTIONS))  # of each direction, less that of the others
        self.register_buffer("scale", torch.tensor(float(dim)).sqrt())

    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            x = F.normalize(features.float()) - self.mean
            return self.scale * (x + (x @ self.directions.T * self.gains) @ self.directions)

    @torch.no_grad()
    def fit(self, features: Tensor) -> None:
        """Take mean and directions from `features` [N, D]; those of equal images, or of one, change nothing."""
        unit = F.normalize(features.double())
        mean = unit.mean(dim=0)
        _, spread, directions = torch.linalg.svd((unit - mean) / len(unit) ** 0.5, full_matrices=False)
        variances, count = spread.square(), min(DIRECTIONS, len(spread))
        floor = SHRINKAGE * variances.sum() / unit.shape[1]
        if floor < torch.finfo(torch.float32).tiny:
            return
        self.mean.copy_(mean)
        self.directions.zero_()[:count] = directions[:count].to(self.directions)
        self.gains.zero_()[:count] = ((floor / ((1 - SHRINKAGE) * variances[:count] + floor)).sqrt() - 1).to(self.gains)
        self.scale.fill_(1.0)
        self.scale.div_(self(features).square().mean().sqrt())
