"""CosFace: an additive margin on the cosine (Wang et al. 2018, "CosFace", section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from engine.losses.cosine import scaled_cosines
from engine.losses.precision import no_autocast


class CosFace(nn.Module):
    """Cross-entropy of the logits s (cos(theta_y) - m) for the own class y, s cos(theta_j) for the others (equation 4).

    theta_j is the angle between a feature and row j of `weight` [C, D]. `scale` is s; `margin` is m, a cosine.
    """

    def __init__(self, dim: int, classes: int, scale: float = 30.0, margin: float = 0.35) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(classes, dim)))
        self.scale = scale
        self.margin = margin

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        """The loss, in nats, of `features` [B, D] of any length whose classes are `target` [B]."""
        with no_autocast(features):
            logits = scaled_cosines(features, self.weight, self.scale)
            own = logits.gather(1, target[:, None]) - self.scale * self.margin
            return cross_entropy(logits.scatter(1, target[:, None], own), target)
