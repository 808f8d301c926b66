"""MBA-Net's attention over a feature map (Baisa et al., ICPR 2022, section III): spatial and channel attention.

Both add what they attend to with a factor γ that starts at 0, so that a new module changes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.losses.precision import no_autocast, widen

REDUCTION = 8  # channels of a feature map for each channel of its queries and keys


class SpatialAttention(nn.Module):
    """x + γ (v Aᵀ + BN(E_h) + BN(E_w)) over maps [B, C, S, S], with A = softmax(qᵀ k) over the positions.

    E_h, E_w: relative positional encodings, E_h[x, y] = Σ_i (q[x, y] · R_h[i - x]) v[i, y] within a column and E_w
    within a row. `side`: S. The tables R [2 S - 1, C / 8] hold the shifts from 1 - S to S - 1, from N(0, 1).
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        inner = max(channels // REDUCTION, 1)
        self.query, self.key = _embedding(channels, inner), _embedding(channels, inner)
        self.value = _embedding(channels, channels)
        self.rows = nn.Parameter(torch.randn(2 * side - 1, inner))
        self.columns = nn.Parameter(torch.randn(2 * side - 1, inner))
        self.norm_rows, self.norm_columns = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """`x` [B, C, S, S] with what each position attends to; the energies are computed in float32 at least."""
        query, key, value = (widen(part(x)) for part in (self.query, self.key, self.value))
        with no_autocast(x):
            attended = attend(query, key, value)
            rows = self.norm_rows(encode_rows(query, value, self.rows))
            columns = encode_rows(query.transpose(2, 3), value.transpose(2, 3), self.columns).transpose(2, 3)
            added: Tensor = attended + rows + self.norm_columns(columns)
            return x + (self.gamma * added).to(x.dtype)


class ChannelAttention(nn.Module):
    """x + γ A F over maps [B, C, S, S], with F [C, S²] the map, E = F Fᵀ and A = softmax(max E - E) over the channels.

    The energies are subtracted from their largest, as published: a channel attends to those that differ from it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """`x` [B, C, S, S] with what each channel attends to; the energies are computed in float32 at least."""
        with no_autocast(x):
            flat = widen(x).flatten(2)
            # softmax(max E - E) is softmax(-E): a constant along the row cancels
            attention = (-(flat @ flat.transpose(1, 2))).softmax(dim=2)
            return x + (self.gamma * (attention @ flat).view_as(x)).to(x.dtype)


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """v Aᵀ [B, C, S, S] of maps `query`, `key` [B, D, S, S] and `value` [B, C, S, S]: A = softmax(qᵀ k), no 1/√D."""
    attention = (query.flatten(2).transpose(1, 2) @ key.flatten(2)).softmax(dim=2)
    return (value.flatten(2) @ attention.transpose(1, 2)).view_as(value)


def encode_rows(query: Tensor, value: Tensor, table: Tensor) -> Tensor:
    """E_h [B, C, S, S]: at [x, y] the sum over rows i of (query[x, y] · table[i - x]) value[i, y].

    `table` [2 S - 1, D] holds the shifts i - x from 1 - S to S - 1.
    """
    side = query.shape[2]
    places = torch.arange(side, device=query.device)
    shifts = table[places[None, :] - places[:, None] + side - 1]  # [x, i, D]
    scores = torch.einsum("bdxy,xid->bxiy", query, shifts.to(query.dtype))
    return torch.einsum("bxiy,bciy->bcxy", scores, value)


def _embedding(channels: int, inner: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, inner, 1), nn.BatchNorm2d(inner), nn.ReLU())
