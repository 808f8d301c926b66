"""The model: an image encoder of open_clip, its features before and after the projection, and a BN neck for each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.contract.config import ModelConfig
from engine.contract.errors import UserError
from engine.contract.hub import go_offline, hub_reachable
from engine.contract.models import OWN_CONFIGS, check_model_name
from engine.contract.weights import recorded_model
from engine.machine.randomness import derived_seed
from engine.model.pretrained import check_finite, fill, load_weights, weights_file
from engine.model.quick_gelu import lighten


@dataclass(frozen=True)
class Feature:
    """One feature of a batch, [B, D] float32: as the encoder gives it, and after its BN neck."""

    before: Tensor
    after: Tensor


class ImageEncoder(nn.Module):
    """An open_clip image tower cut at its projection: `forward(images [B, 3, S, S])` gives [B, D1] and [B, D2].

    Vision transformers are cut at `proj`, ModifiedResNets at the attention pool (as CLIP-ReID does: the mean of the
    last feature map, and the pool's output), timm towers at their head.
    """

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.cut = next(name for name in ("proj", "attnpool", "head") if hasattr(visual, name))
        projection = getattr(visual, self.cut)
        setattr(visual, self.cut, None if self.cut == "proj" else nn.Identity())
        self.trunk = visual
        self.projection = Projection(projection) if isinstance(projection, nn.Parameter) else projection

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.trunk(images)
        pooled = hidden.mean(dim=(2, 3)) if hidden.dim() == 4 else hidden
        return pooled, pooled if self.projection is None else self.projection(hidden)

    def open_clip_state(self) -> dict[str, Tensor]:
        """The weights under open_clip's own names (`visual.…`), so that open_clip alone can load them."""
        state = {f"visual.{name}": value for name, value in self.trunk.state_dict().items()}
        if isinstance(self.projection, Projection):
            state["visual.proj"] = self.projection.weight.detach()
        elif self.projection is not None:
            state |= {f"visual.{self.cut}.{name}": value for name, value in self.projection.state_dict().items()}
        return state


class Projection(nn.Module):
    """CLIP's linear projection `x [B, D1] @ weight [D1, D2]`."""

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden @ self.weight


class ReIDModel(nn.Module):
    """Encoder and necks. A neck is a batch norm without a shift (Luo et al. 2019, section 3.6, BNNeck)."""

    def __init__(self, encoder: ImageEncoder, size: int, mean: list[float], std: list[float], quick_gelu: bool) -> None:
        super().__init__()
        self.encoder, self.quick_gelu = encoder, quick_gelu
        self.image_size, self.mean, self.std = size, mean, std
        with torch.inference_mode():
            features = encoder.eval()(torch.zeros(1, 3, size, size))
        self.dims = [feature.shape[1] for feature in features]
        self.necks = nn.ModuleList(nn.BatchNorm1d(dim) for dim in self.dims)
        for neck in self.necks:
            neck.bias.requires_grad_(False)

    @property
    def record(self) -> dict[str, Any]:
        """What must be known of the model beside its weights to build it again."""
        return {"image_size": self.image_size, "quick_gelu": self.quick_gelu, "mean": self.mean, "std": self.std}

    def forward(self, images: Tensor) -> list[Feature]:
        """Features of `images` [B, 3, S, S], normalised as the encoder expects: before and after the projection."""
        return self.through_necks(self.encoder(images))

    def through_necks(self, features: Iterable[Tensor]) -> list[Feature]:
        """Both features [B, D] of the encoder with their necks', in float32 whatever the encoder computed in."""
        pairs = zip(features, self.necks, strict=True)
        with torch.autocast(next(self.necks.parameters()).device.type, enabled=False):
            return [Feature(feature.float(), neck(feature.float())) for feature, neck in pairs]

    def embed(self, images: Tensor, feature: str) -> Tensor:
        """The retrieval feature [B, D1 + D2], of unit length: both features, each normalised, side by side.

        `feature` says which: "before" or "after" the BN neck.
        """
        parts = [F.normalize(getattr(each, feature)) for each in self(images)]
        return torch.cat(parts, dim=1) / len(parts) ** 0.5


def build_model(config: ModelConfig, seed: int, record: dict[str, Any] | None = None) -> ReIDModel:
    """The model with its starting weights: an open_clip tag, a file, an earlier run, or random ones from `seed`.

    `record`: what a checkpoint that will fill the model says of it (`ReIDModel.record`); then no start weights are
    opened, wherever they are by now. Raises UserError where there is no such model or tag, or the weights cannot be
    fetched, do not fit or are not numbers.
    """
    check_model_name(config.name)
    open_clip.add_model_config(OWN_CONFIGS)
    torch.manual_seed(derived_seed(seed, "weights"))
    tag = _tag(config) if record is None else None
    about = _about(config, tag) if record is None else record
    quick_gelu = bool(about.get("quick_gelu")) or bool(open_clip.get_model_config(config.name).get("quick_gelu"))
    clip = _create(config, tag, quick_gelu)
    visual = clip.visual
    lighten(visual)
    if hasattr(visual, "output_tokens"):
        visual.output_tokens = False
    if tag:
        check_finite(visual.state_dict(), f"{tag} of {config.name}")
    elif record is None and config.pretrained != "none":
        load_weights(visual, Path(config.pretrained))
    size = visual.image_size[0] if isinstance(visual.image_size, tuple) else visual.image_size
    usual = open_clip.get_model_preprocess_cfg(clip)
    mean, std = (list(about.get(key) or usual[key]) for key in ("mean", "std"))
    return ReIDModel(ImageEncoder(visual), size, mean, std, quick_gelu)


def _about(config: ModelConfig, tag: str | None) -> dict[str, Any]:
    """How the starting weights were made: with which GELU, and images of which mean and deviation."""
    if tag:
        return dict(open_clip.get_pretrained_cfg(config.name, tag))
    return {} if config.pretrained == "none" else recorded_model(weights_file(Path(config.pretrained)))


def complete_record(config: ModelConfig, record: dict[str, Any]) -> dict[str, Any]:
    """The record of a checkpoint from before it held everything, completed from the weights that the run started from.

    Raises UserError where there is no record at all, and those weights are gone.
    """
    if "mean" in record:
        return record
    open_clip.add_model_config(OWN_CONFIGS)
    if not record:
        return _about(config, _tag(config))
    tag = open_clip.get_pretrained_cfg(config.name, config.pretrained)  # empty where it is no tag
    return {"mean": tag.get("mean"), "std": tag.get("std")} | record


def _tag(config: ModelConfig) -> str | None:
    """The pretrained tag of open_clip that the configuration names; None for a file and for none."""
    if config.pretrained == "none" or Path(config.pretrained).exists():
        return None
    tags = open_clip.list_pretrained_tags_by_model(config.name)
    if config.pretrained not in tags:
        known = f"Its tags: {', '.join(tags)}." if tags else "It has none: use none or a file."
        text = f"{config.name} has no pretrained weights {config.pretrained!r}, nor is that a file. {known}"
        raise UserError(text, "model.pretrained")
    return config.pretrained


def _create(config: ModelConfig, tag: str | None, quick_gelu: bool) -> Any:
    """The CLIP model at the configured size, with the weights of `tag` if there is one."""
    size = {"force_image_size": config.image_size} if config.image_size else {}
    if tag is None:
        try:
            return open_clip.create_model(config.name, force_quick_gelu=quick_gelu, **size)
        except (RuntimeError, AssertionError, ValueError) as error:
            raise UserError(f"{config.name} cannot be built at {config.image_size} px: {_line(error)}.") from error
    if not hub_reachable():
        go_offline()
    try:
        clip = open_clip.create_model(config.name, pretrained=tag, force_quick_gelu=quick_gelu)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"The weights {tag!r} of {config.name} could not be fetched ({_line(error)}). "
            "Without the hub give a file, or start from scratch with none.",
            "model.pretrained",
        ) from error
    if not config.image_size:
        return clip
    resized = open_clip.create_model(config.name, force_quick_gelu=quick_gelu, **size)
    fill(resized.visual, clip.visual.state_dict(), Path(tag))
    return resized


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:200]
