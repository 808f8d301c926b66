"""The cosine classifier that the margin losses stand on."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import normalize

from engine.losses.precision import widen


def scaled_cosines(features: Tensor, weight: Tensor, scale: float) -> Tensor:
    """`scale` x the cosine [B, C] of `features` [B, D] and each class of `weight` [C, D]; 0 where either is zeros."""
    weight = widen(weight)
    # Lengths and scale multiply the products: the weight, the largest tensor where there are many classes, stays as is.
    per_class: Tensor = scale / weight.norm(dim=1).clamp(min=1e-12)
    return normalize(widen(features)) @ weight.T * per_class
