"""The names of the models that can be trained: open_clip's, timm's, repositories of the hub, our own. No torch here."""

from __future__ import annotations

import difflib
import json
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from engine.contract.errors import UserError

OWN_CONFIGS = Path(__file__).parent / "model_configs"
TIMM = "timm:"  # before a name of timm, as in timm:resnet50.tv2_in1k
ON_HUB = "hf-hub:"  # before a repository that open_clip reads, as in hf-hub:timm/ViT-B-16-SigLIP2
START_MODEL = "handreid-small"  # the encoder of the start without the hub
SYNTHETIC = "synthetic"  # its weights
HUB = "hub"  # the weights that come with a name of the two kinds above


@cache
def _model_files() -> dict[str, Path]:
    """The configuration file of each model, open_clip's without importing it."""
    found = find_spec("open_clip")
    folders = [Path(place) / "model_configs" for place in (found.submodule_search_locations or ())] if found else []
    return {file.stem: file for folder in [*folders, OWN_CONFIGS] for file in folder.glob("*.json")}


def model_names() -> tuple[str, ...]:
    """Every model name, sorted."""
    return tuple(sorted(_model_files()))


@cache
def own_image_size(name: str) -> int | None:
    """Pixels a side of the images that open_clip's model `name` takes; None for other names."""
    try:
        size = json.loads(_model_files()[name].read_text())["vision_cfg"].get("image_size", 224)
    except (KeyError, OSError, ValueError):
        return None
    return int(size[0] if isinstance(size, list) else size)


def check_model_name(name: str) -> None:
    """Raises UserError, with the nearest name, if there is no model `name`.

    Names of timm and of the hub are looked up by the trainer: importing timm takes seconds.
    """
    if name.startswith(TIMM):
        if not re.fullmatch(r"\w+(\.\w+)?", name.removeprefix(TIMM)):
            raise UserError(f"{name!r} is not a timm model: write a name such as timm:resnet50.tv2_in1k.", "model.name")
    elif name.startswith(ON_HUB):
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", name.removeprefix(ON_HUB)):
            raise UserError(f"{name!r} is not a repository of the hub: write hf-hub:OWNER/NAME.", "model.name")
    elif name not in model_names():
        near = difflib.get_close_matches(name, model_names(), n=1, cutoff=0.3)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UserError(f"open_clip has no model {name!r}.{hint}", "model.name")
