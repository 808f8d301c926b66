"""Parts: the encoder's last two feature maps averaged over a few places of the image, not over all of it, and whitened.

A mean over the whole image forgets where a finger or a nail was. Part-based pooling keeps it (Sun et al. 2018, "Beyond
Part Models", section 3.1; a grid here, where bodies have stripes), and photos of hands mostly lie the same way.
Nothing in it is trained: it takes the maps before and after the last stage as that stage has seen them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.branches import last_stage, load_branches, patch_grid, saved_branches
from engine.model.whitening import Whitening

GRID = 2  # places a side


class Parts(nn.Module):
    """The maps of the image tower `visual` around its last stage, each as [B, GRID² * C], in its latest call.

    Of a vision transformer, the grid of the patches before and after its last block. `size`: pixels a side of the
    images. Raises UserError where the tower of the model `name` is neither a ResNet nor a vision transformer.
    """

    def __init__(self, visual: nn.Module, size: int, name: str) -> None:
        super().__init__()
        stage, self.others = last_stage(getattr(visual, "trunk", visual), name)
        self._seen: tuple[Tensor, ...] = ()
        stage.register_forward_hook(self._remember)
        self.whitenings = nn.ModuleList(Whitening(feature.shape[1]) for feature in self._of_blank(visual, size))

    def forward(self) -> tuple[Tensor, ...]:
        """The features of the images that the tower has just seen: before its last stage, and after it."""
        return tuple(whiten(each) for whiten, each in zip(self.whitenings, self.pooled(), strict=True))

    def pooled(self) -> tuple[Tensor, ...]:
        """The same before they are whitened."""
        seen, self._seen = self._seen, ()
        return tuple(self._by_place(each) for each in seen)

    def fit(self, features: Iterable[Tensor]) -> None:
        """Whiten from now on as these features [N, D], which `pooled` gave for N images, suggest."""
        for whitening, each in zip(self.whitenings, features, strict=True):
            cast(Whitening, whitening).fit(each)

    def load(self, source: Path) -> None:
        """Take the whitening of a checkpoint `source`; one without stays as it is.

        Raises UserError where it is of another model.
        """
        load_branches(self, saved_branches(source), source)

    def _remember(self, stage: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> None:
        self._seen = (arguments[0], output)

    def _by_place(self, x: Tensor) -> Tensor:
        grid = x if x.dim() == 4 else patch_grid(x, self.others)
        return F.adaptive_avg_pool2d(grid, GRID).flatten(1)

    def _of_blank(self, visual: nn.Module, size: int) -> tuple[Tensor, ...]:
        was_training = visual.training
        with torch.inference_mode():
            visual.eval()(torch.zeros(1, 3, size, size))
        visual.train(was_training)
        return self.pooled()
