"""Which models have a text tower that prompts can be learnt in, as far as that can be told without torch."""

from __future__ import annotations

import json
import struct
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.contract.errors import UserError
from engine.contract.models import ON_HUB, OWN_CONFIGS, TIMM
from engine.contract.weights import INDEX, find_weights

TOKENS = "token_embedding.weight"  # the end of the name of a weight that every text tower of CLIP has
TOKEN_COUNT = 49_408  # of CLIP's vocabulary
LARGEST_HEADER = 100 << 20  # bytes, as safetensors itself allows
ANOTHER = "choose one of CLIP's, such as ViT-B-16"


def check_texts(combo: str, model: str, pretrained: str) -> None:
    """Raises UserError if `combo`, which compares images with texts, cannot do so with `model` from these weights.

    What a repository of the hub holds is seen by the trainer, which downloads it.
    """
    if not model.startswith(ON_HUB):
        text_settings(model, combo)
    if has_random_texts(model, pretrained) or not Path(pretrained).exists():
        return
    weights = find_weights(Path(pretrained))
    if weights and (names := _names(weights)) is not None and not any(name.endswith(TOKENS) for name in names):
        raise no_text_tower(pretrained, combo)


def no_text_tower(source: str, combo: str) -> UserError:
    """What to say of weights without one."""
    return UserError(
        f"{combo} compares images with texts, but {source} contains no text tower (runs do not keep theirs): "
        "start from a tag, or from a file with the whole CLIP model.",
        "model.pretrained",
    )


def has_random_texts(model: str, pretrained: str) -> bool:
    """Whether the text tower is random: of an encoder from scratch, and of our own models, which never had another."""
    return pretrained == "none" or (OWN_CONFIGS / f"{model}.json").is_file()


@cache
def text_settings(model: str, combo: str) -> dict[str, Any]:
    """open_clip's settings of `model`, with those of its text tower as `text_cfg`.

    Raises UserError if it has none, or one that does not read CLIP's tokens. `combo` is what needs it.
    """
    if model.startswith(TIMM):
        text = f"{combo} compares images with texts, but {model} has no text tower: {ANOTHER}."
        raise UserError(text, "model.name")
    return with_clips_tokens(_configuration(model), model, combo)


def with_clips_tokens(settings: dict[str, Any], model: str, combo: str) -> dict[str, Any]:
    """open_clip's `settings` of `model`. Raises UserError where their text tower does not read CLIP's tokens."""
    text = settings.get("text_cfg", {})
    if text.get("hf_model_name") or text.get("hf_tokenizer_name") or text.get("vocab_size", TOKEN_COUNT) != TOKEN_COUNT:
        raise UserError(
            f"{combo} compares images with texts, but {model} has a text tower with another vocabulary than CLIP's: "
            f"{ANOTHER}.",
            "model.name",
        )
    return settings


def _configuration(model: str) -> dict[str, Any]:
    found = find_spec("open_clip")
    folders = [Path(place) / "model_configs" for place in (found.submodule_search_locations or ())] if found else []
    file = next(place for folder in [OWN_CONFIGS, *folders] if (place := folder / f"{model}.json").is_file())
    return dict(json.loads(file.read_text()))


def _names(weights: Path) -> list[str] | None:
    """The names of the tensors in a file of safetensors or in an index of several; None of any other file."""
    try:
        with weights.open("rb") as file:
            if weights.name.endswith(INDEX):
                return list(json.loads(file.read(LARGEST_HEADER))["weight_map"])
            (size,) = struct.unpack("<Q", file.read(8))
            return list(json.loads(file.read(size))) if size < LARGEST_HEADER else None
    except (OSError, ValueError, KeyError, TypeError, struct.error, RecursionError):
        return None
