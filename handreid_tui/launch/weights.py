"""Which weights a model can start from, as far as that can be told without torch."""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.contract.errors import UserError
from engine.contract.models import HUB, ON_HUB, START_MODEL, TIMM
from engine.contract.start import is_start
from engine.contract.weights import find_weights


def check_weights(model: str, source: str) -> None:
    """Raises UserError if `source` is no file, no folder with weights, no pretrained tag, and not `none`.

    `synthetic` is a start for one model only.
    """
    path = Path(source)
    if path.is_dir() and not find_weights(path):
        raise UserError(
            f"{path} contains no weights: give a weights file or a run that has trained.", "model.pretrained"
        )
    if is_start(source) and not path.exists():
        if model != START_MODEL:
            text = f"The weights 'synthetic' belong to {START_MODEL}, not to {model}: leave out the model."
            raise UserError(text, "model.name")
        return
    known = pretrained_tags()
    if source == "none" or path.exists() or not known:
        return
    if model.startswith((TIMM, ON_HUB)):
        if source != HUB:
            text = f"{model} has no tags, and {source!r} is not a file: use {HUB}, none or a file."
            raise UserError(text, "model.pretrained")
        return
    tags = known.get(model, ())
    if source not in tags:
        ways = f"Its tags: {', '.join(tags)}." if tags else "It has none: use none or a file."
        text = f"{model} has no pretrained weights {source!r}, and there is no such file. {ways}"
        raise UserError(text, "model.pretrained")


@cache
def pretrained_tags() -> dict[str, list[str]]:
    """open_clip's pretrained tags by model, read from its source: importing it takes seconds, and torch with it.

    Empty where a release of open_clip writes them in another way; then the trainer alone can tell.
    """
    found = find_spec("open_clip")
    folders = (found and found.submodule_search_locations) or []
    tags: dict[str, list[str]] = {}
    try:
        body: list[Any] = ast.parse(Path(folders[0], "pretrained.py").read_text()).body
        assigned: list[Any] = [each for each in body if isinstance(each, ast.Assign)]
        values = {each.targets[0].id: each.value for each in assigned}
        table = values["_PRETRAINED"]  # {"RN50": _RN50, "ViTamin-S": dict(tag=…), …}, and _RN50 = dict(tag=_pcfg(…), …)
        for key, value in zip(table.keys, table.values, strict=True):
            named = (values[value.id] if isinstance(value, ast.Name) else value).keywords
            if not all(tag.arg for tag in named):
                return {}
            quick = [tag.arg for tag in named if any(option.arg == "quick_gelu" for option in tag.value.keywords)]
            tags[key.value] = [tag.arg for tag in named]
            tags |= {f"{key.value}-quickgelu": quick} if quick else {}
    except (OSError, SyntaxError, LookupError, AttributeError):
        return {}
    return tags
