"""The model: an image encoder, its features before and after the projection and of its branches, a neck for each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.contract.config import ModelConfig
from engine.contract.errors import UserError
from engine.contract.models import HUB
from engine.machine.randomness import derived_seed
from engine.model.aspects import AspectEmbedding
from engine.model.branches import Branches
from engine.model.depth import frozen_norms
from engine.model.encoder import ImageEncoder, dims_of
from engine.model.parts import Parts
from engine.model.quick_gelu import lighten
from engine.model.towers import Tower, open_tower


@dataclass(frozen=True)
class Feature:
    """One feature of a batch, [B, D] float32: as the encoder gives it, and after its BN neck."""

    before: Tensor
    after: Tensor


class ReIDModel(nn.Module):
    """Encoder and necks. A neck is a batch norm without a shift (Luo et al. 2019, section 3.6, BNNeck).

    With `branches` of MBA-Net it is their reduction layer. Images are normalised with `mean` and `std`, those of the
    encoder's weights. With `aspects` the model takes the aspect of each image beside it.
    """

    def __init__(
        self, tower: Tower, branches: Branches | Parts | None = None, aspects: AspectEmbedding | None = None
    ) -> None:
        super().__init__()
        self.image_size, self.mean, self.std = tower.size, tower.mean, tower.std
        self.interpolation = tower.interpolation
        self.quick_gelu, self.settings, self.start = tower.quick_gelu, tower.settings, tower.start
        self.encoder = ImageEncoder(tower.visual, branches, aspects)
        self.dims = dims_of(self.encoder, self.image_size)
        neck = reduction if isinstance(branches, Branches) else bn_neck
        self.necks = nn.ModuleList(neck(dim) for dim in self.dims)

    @property
    def joint(self) -> int:
        """The place of the feature that shares its space with CLIP's texts: the encoder's own last one."""
        return self.encoder.own_features - 1

    @property
    def width(self) -> int:
        """The width of the retrieval feature."""
        return sum(self.dims[self.encoder.retrieved])

    def train(self, mode: bool = True) -> ReIDModel:
        """As ever, but what is frozen of the encoder keeps the statistics of its batch norms."""
        super().train(mode)
        for norm in frozen_norms(self.encoder):
            norm.eval()
        return self

    @property
    def takes_aspects(self) -> bool:
        """Whether the aspect of each image is part of the input."""
        return self.encoder.aspects is not None

    def forward(self, images: Tensor, aspects: Tensor | None = None) -> list[Feature]:
        """Features of `images` [B, 3, S, S], normalised as the encoder expects; each before and after its neck.

        `aspects` [B]: for a model that takes them, the place of each image's aspect in ASPECTS.
        """
        if self.takes_aspects != (aspects is not None):
            raise ValueError("aspects are for a model that takes them, and for no other")
        return self.through_necks(self.encoder(images, aspects))

    def through_necks(self, features: Iterable[Tensor]) -> list[Feature]:
        """The features [B, D] of the encoder with their necks', in float32 whatever the encoder computed in."""
        pairs = zip(features, self.necks, strict=True)
        with torch.autocast(next(self.necks.parameters()).device.type, enabled=False):
            return [Feature(feature.float(), neck(feature.float())) for feature, neck in pairs]

    def embed(self, images: Tensor, feature: str, aspects: Tensor | None = None) -> Tensor:
        """The retrieval feature [B, `width`], of unit length: the features, each normalised, side by side.

        `feature` says which: "before" or "after" the neck. `aspects`: as `forward` takes them.
        """
        chosen = self(images, aspects)[self.encoder.retrieved]
        sides = [F.normalize(getattr(each, feature)) for each in chosen]
        joined: Tensor = torch.cat(sides, dim=1) / len(sides) ** 0.5
        return joined

    @property
    def record(self) -> dict[str, Any]:
        """What must be known of the model beside its weights to build it again."""
        return {
            "image_size": self.image_size,
            "mean": self.mean,
            "std": self.std,
            "interpolation": self.interpolation,
            "quick_gelu": self.quick_gelu,
            "open_clip": self.settings,
        } | ({"start": self.start} if self.start else {})


def bn_neck(dim: int) -> nn.Module:
    """A batch norm without a shift (Luo et al. 2019, section 3.6)."""
    neck = nn.BatchNorm1d(dim)
    neck.bias.requires_grad_(False)
    return neck


def reduction(dim: int) -> nn.Module:
    """MBA-Net's layer between a branch and its classifier: linear, batch norm, leaky ReLU, dropout (section III-D)."""
    linear, norm = nn.Linear(dim, dim), nn.BatchNorm1d(dim)
    nn.init.kaiming_normal_(linear.weight, mode="fan_out")
    nn.init.zeros_(linear.bias)
    nn.init.normal_(norm.weight, 1.0, 0.02)
    return nn.Sequential(linear, norm, nn.LeakyReLU(0.1), nn.Dropout(0.5))


def build_model(config: ModelConfig, seed: int, record: dict[str, Any] | None = None) -> ReIDModel:
    """The model with its starting weights: a published tag, a file, an earlier run, or random ones from `seed`.

    `record`: what a checkpoint that will fill the model says of it (`ReIDModel.record`); then no start weights are
    opened, wherever they are by now. Raises UserError where there is no such model or tag, the weights cannot be
    fetched, do not fit or are not numbers, or the model does not take images of the configured size.
    """
    torch.manual_seed(derived_seed(seed, "weights"))
    tower = open_tower(config, record)
    lighten(tower.visual)
    if hasattr(tower.visual, "output_tokens"):
        tower.visual.output_tokens = False
    try:
        branches = _open_branches(config, tower)
        factor = config.aspect_embedding
        aspects = AspectEmbedding(tower.visual, tower.size, factor, config.name) if factor else None
        if record is None and config.pretrained not in ("none", HUB) and Path(config.pretrained).exists():
            for beside in (branches, aspects):
                if beside:
                    beside.load(Path(config.pretrained))
        return ReIDModel(tower, branches, aspects)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")[:200]
        text = f"{config.name} does not take images of {tower.size} px ({reason}): choose another size."
        raise UserError(text, "model.image_size") from error


def _open_branches(config: ModelConfig, tower: Tower) -> Branches | Parts | None:
    if config.branches == "parts":
        return Parts(tower.visual, tower.size, config.name)
    return Branches(tower.visual, tower.size, config.name) if config.branches == "mba" else None
