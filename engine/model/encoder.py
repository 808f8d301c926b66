"""An image tower of open_clip, cut at its last projection so that it gives the feature before it and after it.

With branches, their features follow. With an embedding of the aspect, the tokens get it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from engine.model.aspects import PREFIX as OF_ASPECTS
from engine.model.aspects import AspectEmbedding
from engine.model.branches import PREFIX as OF_BRANCHES
from engine.model.branches import Branches
from engine.model.parts import Parts

BESIDE = (OF_BRANCHES, OF_ASPECTS)  # how the names begin of what is not open_clip's


class Projection(nn.Module):
    """CLIP's linear projection `x [B, D1] @ weight [D1, D2]`."""

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden @ self.weight


class ImageEncoder(nn.Module):
    """`forward(images [B, 3, S, S])` gives [B, D1] and [B, D2], or [B, D1] alone where the tower projects nothing.

    With `branches`, the spatial and the channel feature of MBA-Net follow, or those of parts. With `aspects`,
    `forward` also takes the aspect of each image [B], as its place in ASPECTS; without it nothing is added to the
    tokens.

    Vision transformers are cut at `proj`, ModifiedResNets at the attention pool (as CLIP-ReID does: the mean of the
    last feature map, and the pool's output), timm towers at their head, or at the trunk's classifier where that is
    the projection. A tower without any of these (SigLIP) has one feature.
    """

    def __init__(
        self, visual: nn.Module, branches: Branches | Parts | None = None, aspects: AspectEmbedding | None = None
    ) -> None:
        super().__init__()
        self.cut = _cut(visual)
        self.trunk = visual  # before the projection: checkpoints hold the optimizer's state by the order of the weights
        self.projection: nn.Module | None = None
        if self.cut:
            parent, _, name = self.cut.rpartition(".")
            holder = visual.get_submodule(parent)
            projection = getattr(holder, name)
            setattr(holder, name, None if name == "proj" else nn.Identity())
            self.projection = Projection(projection) if isinstance(projection, nn.Parameter) else projection
        self.own_features = 1 if self.projection is None else 2  # before those of the branches
        self.branches = branches
        self.aspects = aspects

    def forward(self, images: Tensor, aspects: Tensor | None = None) -> tuple[Tensor, ...]:
        if self.aspects is not None:
            self.aspects.of_batch = aspects
        hidden = self.trunk(images)
        pooled = hidden.mean(dim=(2, 3)) if hidden.dim() == 4 else hidden
        own = (pooled,) if self.projection is None else (pooled, self.projection(hidden))
        return own if self.branches is None else (*own, *self.branches())

    @property
    def retrieved(self) -> slice:
        """Which of the features retrieval compares: those of parts alone where there are any, else all."""
        return slice(self.own_features if isinstance(self.branches, Parts) else 0, None)

    def open_clip_names(self) -> dict[str, str]:
        """open_clip's own name (`visual.…`) of each parameter by its name here; what is not of its tower keeps that."""
        projection = "visual.proj" if isinstance(self.projection, Projection) else f"visual.{self.cut}"
        names = {}
        for name, _ in self.named_parameters():
            part, _, rest = name.partition(".")
            if part == "trunk":
                names[name] = f"visual.{rest}"
            elif name.startswith(BESIDE):
                names[name] = name
            else:
                names[name] = projection if projection == "visual.proj" else f"{projection}.{rest}"
        return names

    def open_clip_state(self) -> dict[str, Tensor]:
        """The weights under open_clip's own names (`visual.…`), so that open_clip alone can load them."""
        state = {f"visual.{name}": value for name, value in self.trunk.state_dict().items()}
        if isinstance(self.projection, Projection):
            state["visual.proj"] = self.projection.weight.detach()
        elif self.projection is not None:
            state |= {f"visual.{self.cut}.{name}": value for name, value in self.projection.state_dict().items()}
        return state

    def state_beside(self) -> dict[str, Tensor]:
        """The values beside open_clip's tower: of the branches (`branches.…`) and of the aspects (`aspects.…`)."""
        return {name: value for name, value in self.state_dict().items() if name.startswith(BESIDE)}

    def new_weights(self) -> dict[str, nn.Parameter]:
        """The weights that begin at random beside pretrained ones, and learn at the rate of the heads, by name."""
        of_branches = self.branches.new_weights() if isinstance(self.branches, Branches) else {}
        new = {f"{OF_BRANCHES}{name}": weight for name, weight in of_branches.items()}
        return new | {name: weight for name, weight in self.named_parameters() if name.startswith(OF_ASPECTS)}


def _cut(visual: nn.Module) -> str:
    """Where the tower's projection is, as a dotted name; empty where there is none."""
    for name in ("proj", "attnpool"):
        if getattr(visual, name, None) is not None:
            return name
    head: Any = getattr(visual, "head", None)
    trunk: Any = getattr(visual, "trunk", None)
    if isinstance(head, nn.Sequential) and len(head):
        return "head"
    if not hasattr(trunk, "get_classifier"):
        return ""
    classifier = trunk.get_classifier()
    if isinstance(classifier, nn.Identity):
        return ""
    return next((f"trunk.{name}" for name, module in trunk.named_modules() if module is classifier), "")


def dims_of(encoder: ImageEncoder, size: int) -> list[int]:
    """The width of each feature, found with one blank image."""
    was_training = encoder.training
    with torch.inference_mode():
        features: Iterable[Tensor] = encoder.eval()(torch.zeros(1, 3, size, size))
    encoder.train(was_training)
    return [feature.shape[1] for feature in features]
