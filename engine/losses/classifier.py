"""A linear classifier with cross-entropy, the head that re-identification calls ID loss."""

from __future__ import annotations

from torch import Tensor, nn

from engine.losses.cross_entropy import cross_entropy


class LinearClassifier(nn.Module):
    """Cross-entropy on the logits of a bias-free linear classifier (std 1e-3; Luo et al. 2019, section 3.6).

    `smoothing` is the label smoothing, in [0, 1).
    """

    def __init__(self, dim: int, classes: int, smoothing: float = 0.1) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, classes, bias=False)
        nn.init.normal_(self.linear.weight, std=0.001)
        self.smoothing = smoothing

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        """The loss, in nats, of `features` [B, D] whose classes are `target` [B]."""
        return cross_entropy(self.linear(features), target, self.smoothing)
