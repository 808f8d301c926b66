"""The names of the models that can be trained: open_clip's configurations and our own. No torch here."""

from __future__ import annotations

import difflib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from engine.contract.errors import UserError

OWN_CONFIGS = Path(__file__).parent / "model_configs"


@cache
def model_names() -> tuple[str, ...]:
    """Every model name, sorted; open_clip's are read from its configuration files, without importing it."""
    found = find_spec("open_clip")
    folders = [Path(place) / "model_configs" for place in (found.submodule_search_locations or ())] if found else []
    return tuple(sorted({file.stem for folder in [*folders, OWN_CONFIGS] for file in folder.glob("*.json")}))


def check_model_name(name: str) -> None:
    """Raises UserError, with the nearest name, if there is no model `name`."""
    if name not in model_names():
        near = difflib.get_close_matches(name, model_names(), n=1, cutoff=0.3)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UserError(f"open_clip has no model {name!r}.{hint}", "model.name")
