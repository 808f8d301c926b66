"""Triplet loss with batch-hard mining (Hermans et al. 2017, "In Defense of the Triplet Loss", section 2)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from engine.losses.pairs import mean_over_anchors, pairs
from engine.losses.precision import no_autocast, widen


def batch_hard_triplet(features: Tensor, identities: Tensor, margin: float | str = 0.3) -> Tensor:
    """Mean over anchors a of max(0, m + max_p d(a, p) - min_n d(a, n)), p of a's identity and n of any other.

    `features` [B, D] before the neck, not normalised; `identities` [B]; d is the Euclidean distance, in the units of
    the features. `margin` is m, or "soft" for log(1 + exp(d(a, p) - d(a, n))) (equation 5 and the text after it).

    An anchor without a positive, or without a negative, leaves the mean. A batch without any valid anchor gives a zero
    that is still connected to the graph; `valid_anchors(identities).any()` tells the caller.
    """
    with no_autocast(features):
        features = widen(features)
        positive, negative = pairs(identities)
        hardest_positive, hardest_negative = _mine(features.detach(), positive, negative)
        # Only the 2B mined pairs are measured with a graph, as differences: exact where two images are near duplicates.
        # The gradient of the norm at distance 0 is 0.
        to_positive = torch.linalg.vector_norm(features - features[hardest_positive], dim=1)
        to_negative = torch.linalg.vector_norm(features - features[hardest_negative], dim=1)
        gap = to_positive - to_negative
        losses = softplus(gap) if isinstance(margin, str) else (gap + margin).relu()
        return mean_over_anchors(losses, positive, negative)


def _mine(features: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    """Index [B] of each anchor's furthest positive and of its nearest negative."""
    centred = features - features.mean(dim=0)  # distances stay, |x|^2 - 2xy loses fewer digits
    norms = centred.square().sum(dim=1)
    # |y|^2 - 2xy: the anchor's own |x|^2 is constant in its row
    squared = torch.addmm(norms, centred, centred.T, alpha=-2)
    furthest = squared.masked_fill(~positive, -torch.inf).argmax(dim=1)
    nearest = squared.masked_fill(~negative, torch.inf).argmin(dim=1)
    return furthest, nearest
