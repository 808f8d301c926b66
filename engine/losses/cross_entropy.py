"""Cross-entropy with label smoothing (Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from engine.losses.precision import widen


def cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean over the batch of (1 - e)(-log p_y) + e mean_k(-log p_k), in nats, with p = softmax(logits).

    `logits` [B, C], `target` y [B] the class of each row, `smoothing` e in [0, 1).
    """
    return F.cross_entropy(widen(logits), target, label_smoothing=smoothing)
