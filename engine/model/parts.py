"""Parts: the encoder's last two feature maps averaged over a few places of the image, not over all of it.

A mean over the whole image forgets where a finger or a nail was. Part-based pooling keeps it (Sun et al. 2018, "Beyond
Part Models", section 3.1; a grid here, where bodies have stripes), and photos of hands mostly lie the same way.
Nothing in it is learnt: it takes the maps before and after the last stage as that stage has seen them.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.branches import last_stage, patch_grid

GRID = 2  # places a side


class Parts(nn.Module):
    """The maps of the image tower `visual` around its last stage, each as [B, GRID² * C], in its latest call.

    Of a vision transformer, the grid of the patches before and after its last block. Raises UserError where the tower
    of the model `name` is neither a ResNet nor a vision transformer.
    """

    def __init__(self, visual: nn.Module, name: str) -> None:
        super().__init__()
        stage, self.others = last_stage(getattr(visual, "trunk", visual), name)
        self._seen: tuple[Tensor, ...] = ()
        stage.register_forward_hook(self._remember)

    def forward(self) -> tuple[Tensor, ...]:
        """The features of the images that the tower has just seen: before its last stage, and after it."""
        seen, self._seen = self._seen, ()
        return tuple(self._by_place(each) for each in seen)

    def _remember(self, stage: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> None:
        self._seen = (arguments[0], output)

    def _by_place(self, x: Tensor) -> Tensor:
        grid = x if x.dim() == 4 else patch_grid(x, self.others)
        return F.adaptive_avg_pool2d(grid, GRID).flatten(1)
