"""The model: an image encoder, its features before and after the projection, and a BN neck for each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.contract.config import ModelConfig
from engine.contract.errors import UserError
from engine.machine.randomness import derived_seed
from engine.model.depth import frozen_norms
from engine.model.encoder import ImageEncoder, dims_of
from engine.model.quick_gelu import lighten
from engine.model.towers import Tower, open_tower


@dataclass(frozen=True)
class Feature:
    """One feature of a batch, [B, D] float32: as the encoder gives it, and after its BN neck."""

    before: Tensor
    after: Tensor


class ReIDModel(nn.Module):
    """Encoder and necks. A neck is a batch norm without a shift (Luo et al. 2019, section 3.6, BNNeck).

    Images are normalised with `mean` and `std`, those of the encoder's weights.
    """

    def __init__(self, tower: Tower) -> None:
        super().__init__()
        self.image_size, self.mean, self.std = tower.size, tower.mean, tower.std
        self.quick_gelu, self.settings, self.start = tower.quick_gelu, tower.settings, tower.start
        self.encoder = ImageEncoder(tower.visual)
        self.dims = dims_of(self.encoder, self.image_size)
        self.necks = nn.ModuleList(nn.BatchNorm1d(dim) for dim in self.dims)
        for neck in self.necks:
            neck.bias.requires_grad_(False)

    def train(self, mode: bool = True) -> ReIDModel:
        """As ever, but what is frozen of the encoder keeps the statistics of its batch norms."""
        super().train(mode)
        for norm in frozen_norms(self.encoder):
            norm.eval()
        return self

    def forward(self, images: Tensor) -> list[Feature]:
        """Features of `images` [B, 3, S, S], normalised as the encoder expects: before and after the projection."""
        return self.through_necks(self.encoder(images))

    def through_necks(self, features: Iterable[Tensor]) -> list[Feature]:
        """The features [B, D] of the encoder with their necks', in float32 whatever the encoder computed in."""
        pairs = zip(features, self.necks, strict=True)
        with torch.autocast(next(self.necks.parameters()).device.type, enabled=False):
            return [Feature(feature.float(), neck(feature.float())) for feature, neck in pairs]

    def embed(self, images: Tensor, feature: str) -> Tensor:
        """The retrieval feature [B, D1 + D2], of unit length: the features, each normalised, side by side.

        `feature` says which: "before" or "after" the BN neck.
        """
        parts = [F.normalize(getattr(each, feature)) for each in self(images)]
        joined: Tensor = torch.cat(parts, dim=1) / len(parts) ** 0.5
        return joined

    @property
    def record(self) -> dict[str, Any]:
        """What must be known of the model beside its weights to build it again."""
        return {
            "image_size": self.image_size,
            "mean": self.mean,
            "std": self.std,
            "quick_gelu": self.quick_gelu,
            "open_clip": self.settings,
        } | ({"start": self.start} if self.start else {})


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
        return ReIDModel(tower)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")[:200]
        text = f"{config.name} does not take images of {tower.size} px ({reason}): choose another size."
        raise UserError(text, "model.image_size") from error
