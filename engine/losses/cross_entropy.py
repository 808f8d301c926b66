"""Cross-entropy with label smoothing (Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7)."""

from __future__ import annotations

from torch import Tensor

from engine.losses.precision import widen


def cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean over the batch of (1 - e)(-log p_y) + e mean_k(-log p_k), in nats.

    `logits` [B, C], `target` [B] the class of each row, `smoothing` e in [0, 1). p = softmax(logits), y = target.
    """
    log_p = widen(logits).log_softmax(dim=1)
    nll = -log_p.gather(1, target[:, None]).squeeze(1)
    if smoothing == 0:
        return nll.mean()
    uniform = -log_p.mean(dim=1)
    return ((1 - smoothing) * nll + smoothing * uniform).mean()
