"""FaceNet: the triplet loss on the unit sphere with semi-hard negatives (Schroff et al. 2015, "FaceNet", section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from engine.losses.pairs import mean_where, pairs
from engine.losses.precision import no_autocast, widen


class FaceNet(nn.Module):
    """Mean of d(a, p) - d(a, n) + m over the positive pairs (a, p) that have a semi-hard negative n.

    d is the squared Euclidean distance of L2-normalised features, m is `margin`. A negative is semi-hard where it is
    further than the positive, but within the margin: d(a, p) < d(a, n) < d(a, p) + m (section 3.2). Of several, which
    the paper leaves open, the nearest is taken. A pair without one leaves the mean; where no pair has one the loss is
    a zero that is still connected to the graph: the margin is met, or the negatives are nearer than the positives.

    `watched["active"]` is the share of the positive pairs of the last batch that had one; NaN where there was no pair.
    """

    def __init__(self, dim: int, classes: int, margin: float = 0.2) -> None:
        super().__init__()
        self.margin = margin
        self.watched: dict[str, Tensor] = {}

    def forward(self, features: Tensor, identities: Tensor) -> Tensor:
        """The loss of `features` [B, D] of any length whose identities are `identities` [B]."""
        with no_autocast(features):
            unit = normalize(widen(features))
            distance = 2 - 2 * unit @ unit.T
            positive, negative = pairs(identities)
            nearest, found = _semi_hard(distance.detach(), positive, negative, self.margin)
            self.watched = {"active": found.sum() / positive.sum()}
            loss = mean_where(distance - distance.gather(1, nearest) + self.margin, found)
            return loss + 0 * distance.sum()  # a NaN, which no comparison finds, is not hidden


def _semi_hard(distance: Tensor, positive: Tensor, negative: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """For each pair (a, p) the nearest negative of a beyond p, [B, B], and where p is a positive and n semi-hard."""
    ascending, order = distance.masked_fill(~negative, torch.inf).sort(dim=1)
    place = torch.searchsorted(ascending, distance, right=True).clamp(max=distance.shape[1] - 1)
    beyond = ascending.gather(1, place)
    found = positive & (beyond > distance) & (beyond < distance + margin)
    return order.gather(1, place), found
