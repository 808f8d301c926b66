"""Positive pairs (one identity) and negative pairs (two) of a batch, and the mean over the anchors that have both."""

from __future__ import annotations

import torch
from torch import Tensor


def pairs(identities: Tensor) -> tuple[Tensor, Tensor]:
    """Masks [B, B] of positives (the same identity, the image itself left out) and negatives of `identities` [B]."""
    same = identities[:, None] == identities
    negative = ~same
    return same.fill_diagonal_(False), negative


def valid_anchors(identities: Tensor) -> Tensor:
    """Mask [B] of the images that have both a positive and a negative in the batch; only these enter the loss.

    Where none is valid, the pairwise losses are a zero without gradient signal: `valid_anchors(y).any()` tells it
    from a zero that was earned. Ask it where the identities lie on the CPU, so that no device has to wait.
    """
    return _have_both(*pairs(identities))


def mean_over_anchors(losses: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Mean of `losses` [B] over the anchors with a positive and a negative, by the masks [B, B] of `pairs`.

    A zero that is still connected to the graph where there is no such anchor.
    """
    return mean_where(losses, _have_both(positive, negative))


def mean_where(losses: Tensor, valid: Tensor) -> Tensor:
    """Mean of `losses` where the mask `valid`, of the same shape, is true; where it never is, a zero with a graph."""
    return torch.where(valid, losses, 0).sum() / valid.sum().clamp(min=1)


def _have_both(positive: Tensor, negative: Tensor) -> Tensor:
    return positive.any(1) & negative.any(1)
