"""Supervised contrastive loss (Khosla et al. 2020, "Supervised Contrastive Learning", section 3, equation 2)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from engine.losses.pairs import mean_over_anchors, pairs
from engine.losses.precision import no_autocast, widen


def supcon(features: Tensor, identities: Tensor, temperature: float = 0.1) -> Tensor:
    """Mean over anchors i of -mean_{p in P(i)} log(exp(z_i z_p / t) / sum_{a != i} exp(z_i z_a / t)), in nats.

    `features` [B, D] are L2-normalised here to z; `identities` [B]; P(i) are the other images of i's identity;
    `temperature` is t. An anchor without a positive, or without a negative, leaves the mean; a batch without any valid
    anchor gives a zero that is still connected to the graph (see `valid_anchors`).
    """
    with no_autocast(features):
        z = normalize(widen(features))
        logits = z @ z.T / temperature
        positive, negative = pairs(identities)
        others = logits.masked_fill(~(positive | negative), -torch.inf).logsumexp(dim=1)
        own = (logits * positive).sum(dim=1) / positive.sum(dim=1).clamp(min=1)
        return mean_over_anchors(others - own, positive, negative)
