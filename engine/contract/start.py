"""The start without the hub: a small encoder, trained once on synthetic hands and kept in the cache. No torch here.

`model.pretrained` = `synthetic` becomes `synthetic:KEY` in a run's configuration; the key is a hash of the recipe and
of the code that draws and trains, so that results name the start that they came from.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from engine.contract.errors import UserError
from engine.contract.models import START_MODEL, SYNTHETIC

OVERRIDE = "HANDREID_START"  # fields of the recipe as JSON, such as {"steps": [200, 50]}
OFFER = f"use the weights {SYNTHETIC!r} of {START_MODEL}, which are trained on synthetic hands"
MINUTES = 10  # that the training takes on two cores

ENGINE = Path(__file__).parents[1]
CODE = (
    *(f"start/{name}.py" for name in ("hands", "scenes", "views", "pretraining")),
    "data/synthetic/*.py",
    "losses/supcon.py",
)
MODEL = ENGINE / "contract" / "model_configs" / f"{START_MODEL}.json"


@dataclass(frozen=True)
class StartRecipe:
    """How the start is trained; its weights follow from this, the code and the machine's arithmetic."""

    identities: int = 2500
    images: int = 6  # drawn of each identity
    drawn: int = 96  # pixels a side
    seed: int = 0
    sizes: tuple[int, ...] = (64, 96)  # pixels a side of the stages of training
    steps: tuple[int, ...] = (1700, 450)  # of each stage
    ids_per_batch: int = 40
    images_per_id: int = 3
    lr: float = 2e-3
    weight_decay: float = 0.05
    temperature: float = 0.1  # of the supervised contrastive loss

    @classmethod
    def of(cls, fields: dict[str, Any]) -> StartRecipe:
        """The recipe with these fields, as JSON has them. Raises TypeError."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
        }
        return cls(**values)


def start_recipe() -> StartRecipe:
    """The recipe, with what the environment overrides. Raises UserError where that cannot be read."""
    text = os.environ.get(OVERRIDE, "")
    try:
        recipe = StartRecipe.of(json.loads(text) if text else {})
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{OVERRIDE} must be a JSON object with fields of the recipe ({error}).") from None
    if len(recipe.sizes) != len(recipe.steps) or recipe.ids_per_batch > recipe.identities:
        raise UserError(
            f"{OVERRIDE}: sizes and steps must have equal lengths, and ids_per_batch at most the number of identities."
        )
    return recipe


def start_key(recipe: StartRecipe) -> str:
    """12 hex digits that differ where the recipe, the drawing or the training differs."""
    return hashlib.sha256(f"{json.dumps(asdict(recipe))}/{_code()}".encode()).hexdigest()[:12]


def start_name(recipe: StartRecipe) -> str:
    """The start as a configuration names it: `synthetic:KEY`."""
    return f"{SYNTHETIC}:{start_key(recipe)}"


def is_start(pretrained: str) -> bool:
    """Whether a configuration's `model.pretrained` names the start: `synthetic` or `synthetic:KEY`."""
    return pretrained.partition(":")[0] == SYNTHETIC


def start_folder(cache_folder: Path, key: str) -> Path:
    """Where the trained start is kept: a checkpoint."""
    return cache_folder / "starts" / key


@cache
def _code() -> str:
    settings = json.loads(MODEL.read_text())
    digest = hashlib.sha256(json.dumps([settings["embed_dim"], settings["vision_cfg"]]).encode())
    for pattern in CODE:
        for file in sorted(ENGINE.glob(pattern)):
            digest.update(file.read_bytes())
    return digest.hexdigest()
