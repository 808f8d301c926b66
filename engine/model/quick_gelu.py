"""OpenAI's approximate GELU, x sigmoid(1.702 x), in a form that moves and keeps less memory."""

from __future__ import annotations

import open_clip.transformer
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 1.702


class QuickGELU(nn.Module):
    """silu(1.702 x) / 1.702: one tensor kept for the backward pass where open_clip's own form keeps three."""

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(SLOPE * x) / SLOPE


def lighten(model: nn.Module) -> None:
    """Put it in the place of open_clip's in `model`. It has no weights, so all names stay."""
    for module in model.modules():
        for name, inner in module.named_children():
            if isinstance(inner, open_clip.transformer.QuickGELU):
                setattr(module, name, QuickGELU())
