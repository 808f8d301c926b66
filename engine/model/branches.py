"""MBA-Net's branches beside an image encoder (Baisa et al., ICPR 2022, section III).

From the input x of the encoder's last stage, s = mean(SAM(L_s(SAM(x)))) and c = mean(CAM(L_c(CAM(x)))), where L_s and
L_c begin as copies of that stage. The third, the global branch, is the encoder's own feature. The last stage of a
ResNet is layer4, with stride 1; that of a vision transformer is its last block with the norm after it, on the grid of
the patches, while the other tokens pass the attention by.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.contract.errors import UserError
from engine.model.attention import ChannelAttention, SpatialAttention
from engine.model.pretrained import weights_file
from engine.model.weight_files import read_state

PREFIX = "branches."  # before the names of their values in a checkpoint
TABLES = ("rows", "columns")  # of the spatial attention: a row for each relative shift


def saved_branches(source: Path) -> dict[str, Tensor]:
    """The values of the branches in a checkpoint `source`, by their names in the branches; empty where it has none."""
    saved = read_state(weights_file(source))
    return {name.removeprefix(PREFIX): value for name, value in saved.items() if name.startswith(PREFIX)}


def load_branches(branches: nn.Module, state: dict[str, Tensor], source: Path) -> None:
    """Give `branches` the values `state` of `source`, if there are any. Raises UserError where they do not fit."""
    own = branches.state_dict()
    if state and (own.keys() != state.keys() or any(state[name].shape != own[name].shape for name in own)):
        raise UserError(f"{source} contains branches of another model: choose the model that they belong to.")
    if state:
        branches.load_state_dict(state)


class Branch(nn.Module):
    """Attention, a stage of its own, attention again, and the mean over the map: [B, C]."""

    def __init__(self, stage: nn.Module, norm: nn.Module, attention: list[nn.Module], others: int) -> None:
        super().__init__()
        self.first, self.second = attention
        self.stage, self.norm = stage, norm
        self.others = others  # tokens before those of the patches

    def forward(self, x: Tensor, *rest: Any, **named: Any) -> Tensor:
        """The feature from the input of the stage: a map [B, C, S, S], or tokens [B, others + S², C]."""
        if x.dim() == 4:
            after = self.stage(self.first(x))
        else:
            grid = self.first(patch_grid(x, self.others)).flatten(2).transpose(1, 2)
            tokens = self.stage(torch.cat([x[:, : self.others], grid], dim=1), *rest, **named)
            after = patch_grid(self.norm(tokens), self.others)
        pooled: Tensor = self.second(after).mean(dim=(2, 3))
        return pooled


class Branches(nn.Module):
    """The spatial and the channel branch of the image tower `visual`, at `size` pixels a side.

    They continue from what entered the tower's last stage in its latest call. `keeps_last_size`: whether that stage of
    the tower itself was given stride 1. Raises UserError where the tower of the
    model `name` is neither a ResNet nor a vision transformer.
    """

    def __init__(self, visual: nn.Module, size: int, name: str) -> None:
        super().__init__()
        inner: Any = getattr(visual, "trunk", visual)  # timm's model inside open_clip's tower
        stage, others = last_stage(inner, name)
        # CLIP's attention pool has a position for each place of its map, so there the encoder's own stage stays
        self.keeps_last_size = hasattr(inner, "global_pool") and _is_resnet(inner)
        if self.keeps_last_size:
            without_stride(stage)
        stages = [deepcopy(stage) for _ in range(2)]
        self._seen: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
        stage.register_forward_pre_hook(self._remember, with_kwargs=True)
        x = self._input_at(visual, size)
        norms: list[nn.Module] = [nn.Identity(), nn.Identity()]
        if x.dim() == 4:
            for each in stages:
                without_stride(each)
            width, out, side = x.shape[1], _channels_after(stages[0], x), x.shape[2]
        else:
            norms = [deepcopy(_norm(inner, x.shape[2])) for _ in range(2)]
            width, out, side = x.shape[2], x.shape[2], round((x.shape[1] - others) ** 0.5)
        attention: list[nn.Module] = [SpatialAttention(width, side), SpatialAttention(out, side)]
        self.spatial = Branch(stages[0], norms[0], attention, others)
        self.channel = Branch(stages[1], norms[1], [ChannelAttention(), ChannelAttention()], others)

    def forward(self) -> tuple[Tensor, Tensor]:
        """The spatial and the channel feature, [B, C] each, of the images that the tower has just seen."""
        (x, *rest), named = self._seen
        self._seen = ((), {})
        return self.spatial(x, *rest, **named), self.channel(x, *rest, **named)

    def new_weights(self) -> dict[str, nn.Parameter]:
        """The weights that begin at random: all but those of the copied stages, by name."""
        copied = tuple(f"{branch}.{part}." for branch in ("spatial", "channel") for part in ("stage", "norm"))
        return {name: weight for name, weight in self.named_parameters() if not name.startswith(copied)}

    def load(self, source: Path) -> None:
        """Continue from the branches in a checkpoint `source`, tables of another size resized; else stay as they are.

        Raises UserError where they are of another model.
        """
        state, own = saved_branches(source), self.state_dict()
        for name in own.keys() & state.keys():
            if name.endswith(TABLES) and len(state[name]) != len(own[name]):
                state[name] = resize_shifts(state[name], len(own[name]))
        load_branches(self, state, source)

    def _remember(self, stage: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._seen = (arguments, named)

    def _input_at(self, visual: nn.Module, size: int) -> Tensor:
        """What enters the last stage for one blank image."""
        was_training = visual.training
        with torch.inference_mode():
            visual.eval()(torch.zeros(1, 3, size, size))
        visual.train(was_training)
        (x, *_), _ = self._seen
        self._seen = ((), {})
        return torch.zeros(x.shape)


def patch_grid(tokens: Tensor, others: int) -> Tensor:
    """The map [B, C, S, S] of tokens [B, others + S², C]."""
    patches = tokens[:, others:]
    side = round(patches.shape[1] ** 0.5)
    grid: Tensor = patches.transpose(1, 2).unflatten(2, (side, side))
    return grid


def without_stride(stage: nn.Module) -> nn.Module:
    """`stage` of a ResNet, changed to keep the size of its map (Luo et al. 2019, section 3.5, last stride)."""
    for module in list(stage.modules()):
        for name, part in list(module.named_children()):
            if isinstance(part, nn.Conv2d):
                part.stride = (1, 1)
            elif isinstance(part, nn.AvgPool2d):
                setattr(module, name, nn.Identity())
    return stage


def resize_shifts(table: Tensor, length: int) -> Tensor:
    """A table [2 S - 1, D] of relative shifts for another side, [`length`, D], interpolated."""
    resized = F.interpolate(table.float().T[None], size=length, mode="linear", align_corners=True)
    return resized[0].T.to(table.dtype)


def last_stage(inner: Any, name: str) -> tuple[nn.Module, int]:
    """The last stage of a tower, and the number of tokens before those of its patches."""
    if _is_resnet(inner):
        return inner.layer4, 0
    if hasattr(inner, "transformer") and hasattr(inner.transformer, "resblocks"):
        return inner.transformer.resblocks[-1], 1
    if hasattr(inner, "blocks") and hasattr(inner, "num_prefix_tokens"):
        return inner.blocks[-1], inner.num_prefix_tokens
    raise UserError(
        f"{name} is neither a ResNet nor a vision transformer, which branches need: "
        "choose another model, or model.branches=none.",
        "model.branches",
    )


def _is_resnet(inner: Any) -> bool:
    return isinstance(getattr(inner, "layer4", None), nn.Sequential)


def _norm(inner: Any, width: int) -> nn.Module:
    """The norm after the last block of a vision transformer, where it has one over the tokens."""
    for name in ("ln_post", "norm", "fc_norm"):
        norm = getattr(inner, name, None)
        if isinstance(norm, nn.Module) and getattr(norm, "normalized_shape", None) == (width,):
            return norm
    return nn.Identity()


def _channels_after(stage: nn.Module, x: Tensor) -> int:
    was_training = stage.training
    with torch.no_grad():
        channels = stage.eval()(x).shape[1]
    stage.train(was_training)
    return int(channels)
