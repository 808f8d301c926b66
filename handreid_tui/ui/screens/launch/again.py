"""Launch again like a run: its configuration as the fields and the combination of the page. Called in a thread."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from engine.contract import run_files
from engine.contract.combos import COMBOS, Combo, title_of

KEPT_OUT = ("version", "combo", "seed", "device", "threads")


@dataclass(frozen=True)
class Again:
    """fields: texts by name. combo: its name, with `terms` where it is edited against the combination of that name."""

    fields: dict[str, str]
    combo: str
    terms: Combo


def again(run: Path, used_seeds: Collection[int]) -> Again:
    """The page as it makes this run again with a seed that was not used. Raises UserError where it cannot be read."""
    from engine.contract.config import RunConfig, flatten, resolve

    config = RunConfig.load(run / run_files.CONFIG)
    weights = {term: float(options["weight"]) for term, options in config.loss.items()}
    options = {term: {k: v for k, v in told.items() if k != "weight"} for term, told in config.loss.items()}
    known = COMBOS.get(config.combo)
    usual_one = known or Combo("", "A custom combination.", {})
    terms = replace(usual_one, title=title_of(weights), weights=weights, options=options)
    train, data = config.train, config.data
    fields = {
        "data": data.source,
        "subset": data.subset,
        "gallery": data.gallery,
        "model": config.model.name,
        "pretrained": config.model.pretrained,
        "epochs": str(train.epochs),
        "batch": f"{train.ids_per_batch}x{train.images_per_id}",
        "lr": f"{train.lr:.12g}",
        "seeds": str(next(seed for seed in range(len(used_seeds) + 1) if seed not in used_seeds)),
        "device": config.device,
        "tags": "",
    }
    settings = {
        "data.source": data.source, "data.subset": data.subset, "data.gallery": data.gallery,
        "model.name": config.model.name, "model.pretrained": config.model.pretrained, "train.epochs": train.epochs,
        "train.ids_per_batch": train.ids_per_batch, "train.images_per_id": train.images_per_id, "train.lr": train.lr,
    }  # fmt: skip
    usual = flatten(resolve(config.combo, config.seed, {config.combo: terms}, **settings))
    others = {
        key: value
        for key, value in flatten(config).items()
        if key not in KEPT_OUT and not key.startswith("loss.") and usual.get(key) != value
    }
    fields["more"] = " ".join(f"{key}={value}" for key, value in others.items() if value not in (None, ""))
    return Again(fields, config.combo, terms)
