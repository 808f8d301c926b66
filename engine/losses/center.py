"""Center loss (Wen et al. 2016, "A Discriminative Feature Learning Approach for Deep Face Recognition", section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.losses.precision import widen


class CenterLoss(nn.Module):
    """1/2 mean_i |x_i - c_{y_i}|^2 (equation 2, as a mean), in squared units of the features.

    `centers` [C, D] start at zero, so that no identity is given a direction of its own. They belong in an SGD of their
    own (learning rate 0.5). Their gradient at weight 1 is sum_{i: y_i = j} (c_j - x_i) / B; a caller that weights
    the loss divides it by the weight again, because the centers' rate does not depend on it (algorithm 1).
    """

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.zeros(classes, dim))

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        """The loss of `features` [B, D], not normalised, whose classes are `target` [B]."""
        difference = widen(features) - widen(self.centers)[target]
        return 0.5 * difference.square().sum(dim=1).mean()
