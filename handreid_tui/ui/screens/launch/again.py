"""Launch again like runs: their configuration as the fields and the combinations of the page. Called in a thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.contract import run_files
from engine.contract.combos import COMBOS, FUSED, Combo, title_of
from engine.contract.errors import UserError

KEPT_OUT = ("version", "combo", "seed", "device", "threads")


@dataclass(frozen=True)
class Again:
    """fields: texts by name. combos: by name, with `terms` where they are edited against the combination of that name.

    others: how many of the runs have other settings than the first, and are left out.
    """

    fields: Mapping[str, str]
    combos: Mapping[str, Combo]
    others: int = 0


def again(runs: Sequence[Path], seeds: Sequence[int]) -> Again:
    """The page as it makes these runs again, those with the settings of the first, with these seeds.

    Raises UserError where a run cannot be read, or was made by `handreid fuse`.
    """
    fields, name, terms = _read(runs[0])
    combos, others = {name: terms}, 0
    for run in runs[1:]:
        launched, name, terms = _read(run)
        if launched == fields and combos.get(name, terms) == terms:
            combos[name] = terms
        else:
            others += 1
    return Again(fields | {"seeds": ",".join(map(str, seeds))}, combos, others)


def _read(run: Path) -> tuple[dict[str, str], str, Combo]:
    """The fields without seeds, the combination and its terms."""
    from engine.contract.config import RunConfig, flatten, resolve

    config = RunConfig.load(run / run_files.CONFIG)
    if config.combo.startswith(FUSED):
        raise UserError(f"{run.name} is a fusion of trained runs: launch those again, then `handreid fuse` them.")
    weights = {term: float(options["weight"]) for term, options in config.loss.items()}
    known = COMBOS.get(config.combo) or Combo("", "A custom combination.", {})
    plain = replace(known, title=title_of(weights), weights=weights)
    train, data = config.train, config.data
    fields = {
        "data": data.source,
        "pattern": data.identity_pattern or "",
        "subset": data.subset,
        "gallery": data.gallery,
        "model": config.model.name,
        "pretrained": config.model.pretrained,
        "epochs": str(train.epochs),
        "batch": f"{train.ids_per_batch}x{train.images_per_id}",
        "lr": f"{train.lr:.12g}",
        "device": config.device,
        "tags": "",
    }
    settings = {
        "data.source": data.source, "data.identity_pattern": data.identity_pattern,
        "data.subset": data.subset, "data.gallery": data.gallery,
        "model.name": config.model.name, "model.pretrained": config.model.pretrained, "train.epochs": train.epochs,
        "train.ids_per_batch": train.ids_per_batch, "train.images_per_id": train.images_per_id, "train.lr": train.lr,
    }  # fmt: skip
    usual = resolve(config.combo, config.seed, {config.combo: plain}, **settings)
    options = {  # the others follow from the model's recipe
        term: known.options.get(term, {}) | {key: given[key] for key in given if given[key] != usual.loss[term][key]}
        for term, given in config.loss.items()
    }
    terms, expected = replace(plain, options=options), flatten(usual)
    others = {
        key: value
        for key, value in flatten(config).items()
        if key not in KEPT_OUT and not key.startswith("loss.") and expected.get(key) != value
    }
    fields["more"] = " ".join(f"{key}={value}" for key, value in others.items() if value not in (None, ""))
    return fields, config.combo, terms


def unused_seed(used: Sequence[int]) -> int:
    """The smallest seed that is not used."""
    return next(seed for seed in range(len(used) + 1) if seed not in used)
