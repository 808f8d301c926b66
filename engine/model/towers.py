"""Image towers and what belongs to them: from open_clip by tag, from a repository of the hub, from timm, from a file.

A tower keeps the preprocessing of its weights (mean, standard deviation, interpolation) wherever they come from: the
tag declares it, a checkpoint of ours records it, and for a bare file that stands on which all published weights of the
model agree.
"""

from __future__ import annotations

import difflib
import json
from copy import deepcopy
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import open_clip
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

from engine.contract.choices import Interpolation
from engine.contract.config import ModelConfig
from engine.contract.errors import UserError
from engine.contract.hub import go_offline, hub_reachable
from engine.contract.models import HUB, ON_HUB, OWN_CONFIGS, START_MODEL, TIMM, check_model_name
from engine.contract.start import OFFER, is_start, start_folder, start_key, start_recipe
from engine.contract.weights import recorded_model
from engine.data.cache_dir import cache_folder
from engine.model.pretrained import check_finite, fill, load_weights, weights_file

# What open_clip needs beside an image tower, and nobody uses: a text tower as small as it can be.
TEXT = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 1, "layers": 1}

Settings = dict[str, Any]


@dataclass(frozen=True)
class Tower:
    """`settings` are open_clip's of the model, `embed_dim` and `vision_cfg`; `mean` and `std` of images in [0, 1].

    `interpolation`: how images are resized.
    """

    visual: Any  # of open_clip, which has no types
    settings: Settings
    mean: list[float]
    std: list[float]
    quick_gelu: bool
    interpolation: Interpolation
    start: dict[str, Any] | None = None  # key and recipe of the synthetic start

    @property
    def size(self) -> int:
        size = self.visual.image_size
        return int(size[0] if isinstance(size, tuple | list) else size)


def open_tower(config: ModelConfig, record: dict[str, Any] | None = None) -> Tower:
    """The image tower with its starting weights, at the configured size; random weights come from torch's generator.

    `record`: what a checkpoint says of its model (`ReIDModel.record`); then no starting weights are opened.
    Raises UserError where there is no such model or tag, the weights cannot be fetched or do not fit, or the tower
    cannot be built at this size.
    """
    check_model_name(config.name)
    open_clip.add_model_config(OWN_CONFIGS)
    if record is None and (tag := _tag(config)):
        return _from_tag(config, tag)
    source = None if record is not None else _source(config)
    known = recorded_model(source) if source else record or {}
    if config.name.startswith(ON_HUB) and "open_clip" not in known:
        known = _hub_record(config) | known
    settings = _settings(config, known)
    quick_gelu = bool(settings.get("quick_gelu") or known.get("quick_gelu"))
    mean, std, interpolation = _preprocessing(config, known)
    if record is not None:
        settings = _without_download(settings)
        visual = _build(config, settings, quick_gelu, config.image_size or record.get("image_size"))
    elif source:
        visual = _with_weights(config, settings, quick_gelu, source, known.get("image_size"))
    elif config.pretrained == HUB and config.name.startswith(ON_HUB):
        visual = _from_hub(config, settings, quick_gelu)
    else:
        visual = _build(config, settings, quick_gelu, config.image_size)
    start = known.get("start") if record is not None or is_start(config.pretrained) else None
    return Tower(visual, settings, mean, std, quick_gelu, interpolation, start)


def own_settings(model: str) -> Settings:
    """open_clip's settings of the image tower of one of our own models."""
    open_clip.add_model_config(OWN_CONFIGS)
    return _image_part(open_clip.get_model_config(model))


def _source(config: ModelConfig) -> Path | None:
    """The file of the starting weights; None for a tag, the hub and random weights."""
    if config.pretrained in ("none", HUB):
        return None
    if is_start(config.pretrained) and not Path(config.pretrained).exists():
        key = config.pretrained.partition(":")[2] or start_key(start_recipe())
        return weights_file(start_folder(cache_folder(), key))
    return weights_file(Path(config.pretrained))


def build_visual(settings: Settings, quick_gelu: bool, size: int | None) -> Any:
    """The image tower of open_clip's `settings`, with random weights, at `size` pixels a side or at its own size."""
    vision = deepcopy(settings["vision_cfg"])
    timm = "timm_model_name" in vision
    if size and not timm:
        vision["image_size"] = size
    visual = open_clip.model.CLIP(settings["embed_dim"], vision, TEXT, quick_gelu=quick_gelu).visual
    if size and timm:
        visual.set_input_size(size)
    return visual


def _build(config: ModelConfig, settings: Settings, quick_gelu: bool, size: int | None) -> Any:
    try:
        return build_visual(settings, quick_gelu, size)
    except OSError as error:
        raise _not_fetched(config, error) from error
    except Exception as error:  # each of the families refuses a size in its own way
        where = f" at {size} px" if size else ""
        raise UserError(f"{config.name} cannot be built{where}: {_line(error)}.", "model.image_size") from error


def _tag(config: ModelConfig) -> str | None:
    """The pretrained tag of open_clip that the configuration names; None for a file, the hub and for none."""
    if config.pretrained == "none" or Path(config.pretrained).exists():
        return None
    if is_start(config.pretrained):
        if config.name != START_MODEL:
            text = f"The weights 'synthetic' belong to {START_MODEL}, not to {config.name}: leave out the model."
            raise UserError(text, "model.name")
        return None
    if config.name.startswith((ON_HUB, TIMM)):
        if config.pretrained == HUB:
            return None
        text = f"{config.name} has no tags, and {config.pretrained!r} is not a file: use {HUB}, none or a file."
        raise UserError(text, "model.pretrained")
    tags = open_clip.list_pretrained_tags_by_model(config.name)
    if config.pretrained not in tags:
        known = f"Its tags: {', '.join(tags)}." if tags else "It has none: use none or a file."
        text = f"{config.name} has no pretrained weights {config.pretrained!r}, and there is no such file. {known}"
        raise UserError(text, "model.pretrained")
    return config.pretrained


def complete_record(config: ModelConfig, record: dict[str, Any]) -> dict[str, Any]:
    """The record of a checkpoint from before it held everything, completed from the weights that the run started from.

    Raises UserError where there is no record at all, and those weights are gone.
    """
    if "mean" in record:
        return record
    open_clip.add_model_config(OWN_CONFIGS)
    published = dict(open_clip.get_pretrained_cfg(config.name, config.pretrained))  # empty where it is no tag
    if record or published or config.pretrained in ("none", HUB):
        stated = {name: published[name] for name in ("mean", "std", "quick_gelu") if name in published}
        return {"interpolation": "bicubic"} | stated | record
    return {"interpolation": "bicubic"} | recorded_model(weights_file(Path(config.pretrained)))


def _settings(config: ModelConfig, known: dict[str, Any]) -> Settings:
    """What open_clip builds the tower from; `known`: what is recorded of the model."""
    if config.name.startswith(TIMM):
        return _timm_settings(config)
    if config.name.startswith(ON_HUB):
        return dict(known["open_clip"])
    return _image_part(open_clip.get_model_config(config.name))


def _image_part(settings: Settings) -> Settings:
    return {name: settings[name] for name in ("embed_dim", "vision_cfg", "quick_gelu") if name in settings}


def _timm_settings(config: ModelConfig) -> Settings:
    import timm

    name = config.name.removeprefix(TIMM)
    known = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if known is None and not timm.is_model(name):
        near = difflib.get_close_matches(name.split(".")[0], timm.list_models(), n=1, cutoff=0.3)
        raise UserError(f"timm has no model {name!r}.{f' Did you mean {near[0]!r}?' if near else ''}", "model.name")
    size = known.input_size[-1] if known and known.input_size else 224
    vision = {
        "timm_model_name": name,
        "timm_model_pretrained": config.pretrained == HUB,
        "timm_pool": None,  # the model's own
        "timm_proj": "none",
        "image_size": size,
    }
    return {"embed_dim": 512, "vision_cfg": vision}


def hub_declaration(config: ModelConfig) -> dict[str, Any]:
    """What a repository of the hub says of its model: `model_cfg`, open_clip's settings, and `preprocess_cfg`.

    Raises UserError where it cannot be read.
    """
    from huggingface_hub import hf_hub_download

    _check_hub()
    try:
        file = hf_hub_download(config.name.removeprefix(ON_HUB), "open_clip_config.json")
        declared = json.loads(Path(file).read_text())
        return {"model_cfg": declared["model_cfg"], "preprocess_cfg": declared.get("preprocess_cfg") or {}}
    except (OSError, ValueError, KeyError) as error:
        raise _not_fetched(config, error) from error


def _hub_record(config: ModelConfig) -> dict[str, Any]:
    """The same as a checkpoint of ours would say it."""
    declared = hub_declaration(config)
    expected = declared["preprocess_cfg"]
    stated = {name: expected[name] for name in ("mean", "std", "interpolation") if expected.get(name)}
    return {"open_clip": _image_part(declared["model_cfg"])} | stated


def _preprocessing(config: ModelConfig, known: dict[str, Any]) -> tuple[list[float], list[float], Interpolation]:
    """Mean, standard deviation and interpolation that the weights expect, where no tag declares them.

    Checkpoints of earlier versions, which resized everything with a bicubic filter, record no interpolation.
    """
    if known.get("mean") and known.get("std"):
        return list(map(float, known["mean"])), list(map(float, known["std"])), _filter(known.get("interpolation"))
    stated = known.get("interpolation")
    if config.name.startswith(TIMM):
        import timm

        if published := timm.get_pretrained_cfg(config.name.removeprefix(TIMM)):
            return list(published.mean), list(published.std), _filter(stated or published.interpolation)
    tags = open_clip.list_pretrained_tags_by_model(config.name)
    declared = [open_clip.get_pretrained_cfg(config.name, tag) for tag in tags]
    found = {(tuple(each["mean"]), tuple(each["std"])) for each in declared if each.get("mean") and each.get("std")}
    mean, std = found.pop() if len(found) == 1 else (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)
    filters = {each.get("interpolation") for each in declared}
    return list(mean), list(std), _filter(stated or (filters.pop() if len(filters) == 1 else None))


def _filter(declared: Any) -> Interpolation:
    """A declared interpolation as one of ours: open_clip's default for whatever else."""
    return "bilinear" if declared == "bilinear" else "bicubic"


def _from_tag(config: ModelConfig, tag: str) -> Tower:
    """The tower of published weights, resized where another size is asked for, with the weights' own normalisation."""
    settings = _image_part(open_clip.get_model_config(config.name))
    quick_gelu = bool(open_clip.get_pretrained_cfg(config.name, tag).get("quick_gelu"))
    timm = "timm_model_name" in settings["vision_cfg"]
    clip = published_clip(config, tag, config.image_size if timm else None)
    expected = open_clip.get_model_preprocess_cfg(clip)
    visual = clip.visual
    check_finite(visual.state_dict(), f"{tag} of {config.name}")
    if config.image_size and not timm:
        resized = _build(config, settings, quick_gelu, config.image_size)
        fill(resized, visual.state_dict(), Path(tag))
        visual = resized
    interpolation = _filter(expected["interpolation"])
    return Tower(visual, settings, list(expected["mean"]), list(expected["std"]), quick_gelu, interpolation)


def published_clip(config: ModelConfig, tag: str, size: int | None = None) -> Any:
    """Both towers of published weights; `size`: pixels a side, where open_clip itself is to resize them."""
    if open_clip.get_model_config(config.name)["text_cfg"].get("hf_model_name") and find_spec("transformers") is None:
        raise UserError(
            f"{config.name} has a text tower of the package transformers, which is not installed: "
            "`pip install transformers`, or use none or a file of its image tower.",
            "model.pretrained",
        )
    quick_gelu = bool(open_clip.get_pretrained_cfg(config.name, tag).get("quick_gelu"))
    resized = {"force_image_size": size} if size else {}
    _check_hub()
    try:
        return open_clip.create_model(config.name, pretrained=tag, force_quick_gelu=quick_gelu, **resized)
    except (OSError, RuntimeError) as error:
        raise _not_fetched(config, error) from error


def hub_clip(config: ModelConfig) -> Any:
    """Both towers of a repository of the hub that open_clip can read."""
    _check_hub()
    try:
        return open_clip.create_model(config.name, require_pretrained=True)
    except (OSError, RuntimeError) as error:
        raise _not_fetched(config, error) from error


def _from_hub(config: ModelConfig, settings: Settings, quick_gelu: bool) -> Any:
    clip = hub_clip(config)
    if not config.image_size:
        return clip.visual
    visual = _build(config, settings, quick_gelu, config.image_size)
    fill(visual, clip.visual.state_dict(), Path(config.name))
    return visual


def _with_weights(
    config: ModelConfig, settings: Settings, quick_gelu: bool, source: Path, trained_at: int | None
) -> Any:
    """The tower with the weights of a file or an earlier run.

    A timm tower is built at the size that the weights are of, the recorded one or one that fits, and resized by timm
    after that: each of its families has positions of its own.
    """
    if "timm_model_name" not in settings["vision_cfg"]:
        visual = _build(config, settings, quick_gelu, config.image_size)
        load_weights(visual, source)
        return visual
    settings = _without_download(settings)
    refused: UserError | None = None
    for size in dict.fromkeys((trained_at, config.image_size, None)):
        visual = _build(config, settings, quick_gelu, size)
        try:
            load_weights(visual, source)
        except UserError as error:
            refused = refused or error
            continue
        if config.image_size:
            visual.set_input_size(config.image_size)
        return visual
    assert refused is not None
    raise refused


def _without_download(settings: Settings) -> Settings:
    """The settings with which timm fetches no weights of its own."""
    if "timm_model_name" not in settings["vision_cfg"]:
        return settings
    return settings | {"vision_cfg": settings["vision_cfg"] | {"timm_model_pretrained": False}}


def _check_hub() -> None:
    if not hub_reachable():
        go_offline()


def _not_fetched(config: ModelConfig, error: Exception) -> UserError:
    return UserError(
        f"The weights {config.pretrained!r} of {config.name} could not be downloaded ({_line(error)}). "
        f"Give a file instead, {OFFER}, or start from scratch with 'none'.",
        "model.pretrained",
    )


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:200]
