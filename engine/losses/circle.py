"""Circle loss with pair-wise labels (Sun et al. 2020, "Circle Loss", section 3, equations 4 to 6)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize, softplus

from engine.losses.pairs import mean_over_anchors, pairs
from engine.losses.precision import no_autocast, widen


def circle(features: Tensor, identities: Tensor, margin: float = 0.25, gamma: float = 80.0) -> Tensor:
    """Mean over anchors of log(1 + sum_n exp(g a_n (s_n - m)) sum_p exp(-g a_p (s_p - (1 - m)))).

    s_p and s_n are the cosines to the anchor's positives and negatives; a_p = max(0, 1 + m - s_p) and
    a_n = max(0, s_n + m) weigh each pair by how far it is from its optimum, and carry no gradient (section 3.1).
    `features` [B, D] are L2-normalised here; `identities` [B]; `margin` is m, `gamma` is g. An anchor without a
    positive, or without a negative, leaves the mean; a batch without any valid anchor gives a zero that is still
    connected to the graph (see `valid_anchors`).
    """
    with no_autocast(features):
        unit = normalize(widen(features))
        cosine = unit @ unit.T
        far = cosine.detach()
        positive, negative = pairs(identities)
        pull = -gamma * (1 + margin - far).relu() * (cosine - (1 - margin))
        push = gamma * (far + margin).relu() * (cosine - margin)
        pulls = pull.masked_fill(~positive, -torch.inf).logsumexp(dim=1)
        pushes = push.masked_fill(~negative, -torch.inf).logsumexp(dim=1)
        return mean_over_anchors(softplus(pulls + pushes), positive, negative)
