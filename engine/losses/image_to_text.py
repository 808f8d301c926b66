"""CLIP-ReID's image-to-text loss: images classified by the texts of the identities (Li et al. 2023, second stage)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from engine.losses.cosine import scaled_cosines
from engine.losses.cross_entropy import cross_entropy
from engine.losses.precision import no_autocast, widen


class ImageToText(nn.Module):
    """Cross-entropy, smoothed, of the logits v · t_j over the texts t_j of all identities; the texts do not change.

    `texts` [C, D] is a buffer, zeros until the first stage has learnt the texts. A `scale` s above 0 takes s times the
    cosine in place of the product.
    """

    texts: Tensor

    def __init__(self, dim: int, classes: int, smoothing: float = 0.1, scale: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("texts", torch.zeros(classes, dim))
        self.smoothing, self.scale = smoothing, scale

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        """The loss, in nats, of `features` v [B, D], in the space of the texts, whose classes are `target` [B]."""
        with no_autocast(features):
            if self.scale:
                return cross_entropy(scaled_cosines(features, self.texts, self.scale), target, self.smoothing)
            return cross_entropy(linear(widen(features), self.texts), target, self.smoothing)
