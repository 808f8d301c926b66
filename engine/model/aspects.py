"""Side information: a learned embedding of the aspect on the tokens (He et al. 2021, TransReID, section 3.3).

TransReID and CLIP-ReID embed the camera, which is known of each image, query and gallery, as the aspect is here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.contract.choices import ASPECTS
from engine.contract.errors import UserError
from engine.model.pretrained import weights_file
from engine.model.weight_files import read_state

PREFIX = "aspects."  # before the name of its values in a checkpoint


class AspectEmbedding(nn.Module):
    """Adds λ e[aspect] to every token that enters the blocks of the vision transformer `visual`, at `size` pixels.

    `weight`: λ. `embedding` [4, W] holds e in the order of ASPECTS, W the width of the tokens. It begins at 0, so that
    a new one changes nothing. Raises UserError where the tower of the model `name` is not a vision transformer.
    """

    def __init__(self, visual: nn.Module, size: int, weight: float, name: str) -> None:
        super().__init__()
        self.weight = weight
        self.of_batch: Tensor | None = None  # the aspects [B] of the images that the tower is seeing
        self._width = 0
        _entry(visual, name).register_forward_pre_hook(self._add)
        was_training = visual.training
        with torch.inference_mode():
            visual.eval()(torch.zeros(1, 3, size, size))
        visual.train(was_training)
        self.embedding = nn.Parameter(torch.zeros(len(ASPECTS), self._width))

    def load(self, source: Path) -> None:
        """Continue from the embedding in a checkpoint `source`, where it has one.

        Raises UserError where it is of another model.
        """
        saved = read_state(weights_file(source)).get(f"{PREFIX}embedding")
        if saved is None:
            return
        if saved.shape != self.embedding.shape:
            raise UserError(f"{source} holds an embedding of the aspect of another model: choose that model.")
        with torch.no_grad():
            self.embedding.copy_(saved)

    def _add(self, entry: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        tokens, *rest = arguments
        self._width = tokens.shape[2]
        if self.of_batch is None:
            return None
        added = self.weight * self.embedding[self.of_batch]
        return (tokens + added[:, None].to(tokens.dtype), *rest)


def _entry(visual: nn.Module, name: str) -> nn.Module:
    """The module that the tokens [B, N, W] enter once they have their positions."""
    inner: Any = getattr(visual, "trunk", visual)  # timm's model inside open_clip's tower
    if hasattr(inner, "transformer") and hasattr(inner.transformer, "resblocks"):
        entry: nn.Module = inner.ln_pre
        return entry
    if hasattr(inner, "blocks") and hasattr(inner, "num_prefix_tokens"):
        before = getattr(inner, "norm_pre", None)
        return before if isinstance(before, nn.Module) else inner.blocks[0]
    raise UserError(
        f"{name} is not a vision transformer, whose tokens the embedding of the aspect is added to: "
        "choose another model, or model.aspect_embedding=0.",
        "model.aspect_embedding",
    )
