"""ArcFace: an additive angular margin (Deng et al. 2019, "ArcFace", section 3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from engine.losses.cosine import scaled_cosines
from engine.losses.precision import no_autocast


class ArcFace(nn.Module):
    """Cross-entropy of the logits s cos(theta_y + m) for the own class y, s cos(theta_j) for the others (equation 3).

    theta_j is the angle between a feature and row j of `weight` [C, D]. `scale` is s; `margin` is m, in radians.
    Where theta_y > pi - m, cos(theta_y + m) would rise again: there the logit is s (cos(theta_y) - m sin(m)).
    """

    def __init__(self, dim: int, classes: int, scale: float = 30.0, margin: float = 0.3) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(classes, dim)))
        self.scale = scale
        self.margin = margin

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        """The loss, in nats, of `features` [B, D] of any length whose classes are `target` [B]."""
        m = self.margin
        with no_autocast(features):
            logits = scaled_cosines(features, self.weight, self.scale)
            own = (logits.gather(1, target[:, None]) / self.scale).clamp(-1, 1)
            # The bound keeps the gradient of the root finite at cos = 1 and -1.
            sine = (1 - own.square()).clamp(min=1e-7).sqrt()
            widened = own * math.cos(m) - sine * math.sin(m)
            own = torch.where(own > -math.cos(m), widened, own - m * math.sin(m))
            return cross_entropy(logits.scatter(1, target[:, None], self.scale * own), target)
