"""From what a user chose to the configurations of the runs, checked against the data before anything is made."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.combos import Combo, combo_name
from engine.contract.config import RunConfig, resolve, setting_name
from engine.contract.errors import UserError
from engine.contract.models import check_model_name
from engine.data.cache_dir import cache_folder
from engine.data.catalog import Split
from engine.data.split import check_batch, open_split
from engine.data.synthetic import demo_folder
from handreid_tui.launch.devices import list_gpus, visible_gpus
from handreid_tui.launch.weights import check_weights
from handreid_tui.runs import directory
from handreid_tui.runs.select import find_run


@dataclass(frozen=True)
class Plan:
    """Runs to make, the split that they share, and what a user should know before they start."""

    configs: list[RunConfig]
    split: Split
    warnings: list[str]

    @property
    def headline(self) -> str:
        """Data and model in one line, as they were chosen."""
        model, split = self.configs[0].model, self.split
        start = {"none": "from scratch"}.get(model.pretrained, f"from {Path(model.pretrained).name}")
        count = f"{len(self.configs)} run{'s' if len(self.configs) > 1 else ''}"
        gallery = f"{split.gallery} gallery, {len(split.trials[0].gallery)} images"
        data = "synthetic hands" if self.configs[0].data.source == "synthetic" else split.found
        return f"{count} · {data} · {split.subset} ({gallery}) · {model.name} {start}"


def plan(
    combos: list[str],
    seeds: list[int],
    settings: dict[str, Any],
    runs: Path,
    own: dict[str, Combo] | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Plan:
    """One configuration for every pair of combo and seed, and the checks that need no trainer.

    `settings` holds dotted configuration keys; `tell` hears of what takes a while. Raises UserError for everything
    that is known to fail.
    """
    settings = _with_paths(settings, runs)
    combos = list(dict.fromkeys(combo_name(combo, own) for combo in combos))
    configs = [resolve(combo, seed, own, **settings) for combo in combos for seed in seeds]
    _check_loss_settings(settings, configs)
    check_model_name(configs[0].model.name)
    check_weights(configs[0].model.name, configs[0].model.pretrained)
    if configs[0].data.source == "synthetic" and not demo_folder(cache_folder()).is_dir():
        tell("Drawing the synthetic hands, once …")
    split = open_split(configs[0].data)
    configs = [_named(config, split) for config in configs]
    warnings = list(split.warnings)
    training = [config for config in configs if config.loss]
    if training and "train.ids_per_batch" not in settings and training[0].train.ids_per_batch > len(split.classes):
        warnings.append(f"{len(split.classes)} identities to train on: that many in a batch, instead of the recipe's.")
        configs = [_with_ids_per_batch(config, len(split.classes)) for config in configs]
        training = [config for config in configs if config.loss]
    if training:
        warnings += check_batch(split, training[0].train.ids_per_batch, training[0].train.images_per_id)
    return Plan(configs, split, warnings)


def check_device(device: str) -> None:
    """For runs on this machine: raises UserError if it has no such GPU, or CUDA_VISIBLE_DEVICES hides it."""
    wanted = re.fullmatch(r"cuda(?::(\d+))?", device)
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted and int(wanted[1] or 0) >= (count := len(visible_gpus(list_gpus(), hidden))):
        there = f"only {count} GPU{'s' if count > 1 else ''}" if count else "no NVIDIA GPU"
        where = "this machine" if hidden is None else f"CUDA_VISIBLE_DEVICES={hidden}"
        raise UserError(f"There is no {device}: {where} has {there}. Use auto.", "device")


def _check_loss_settings(settings: dict[str, Any], configs: list[RunConfig]) -> None:
    for key in map(setting_name, settings):
        term = key.removeprefix("loss.").partition(".")[0]
        if key.startswith("loss.") and not any(term in config.loss for config in configs):
            chosen = ", ".join(dict.fromkeys(config.combo for config in configs))
            raise UserError(f"{key} is set, but no chosen combination ({chosen}) has the term {term!r}.")


def _with_paths(settings: dict[str, Any], runs: Path) -> dict[str, Any]:
    """Data folder and weights as absolute paths; weights of a run bring their model along."""
    settings = dict(settings)
    source = settings.get("data.source", "synthetic")
    if source != "synthetic":
        settings["data.source"] = str(Path(str(source)).expanduser().absolute())
    weights = settings.get("model.pretrained")
    if weights is None or weights == "none":
        return settings
    if Path(str(weights)).expanduser().exists():
        settings["model.pretrained"] = str(Path(str(weights)).expanduser().absolute())
    elif run := _run(runs, str(weights)):
        settings["model.pretrained"] = str(run.absolute())
        earlier = RunConfig.load(run / "config.json").model
        settings.setdefault("model.name", earlier.name)
        if earlier.image_size and settings["model.name"] == earlier.name:
            settings.setdefault("model.image_size", earlier.image_size)
    return settings


def _run(runs: Path, text: str) -> Path | None:
    """The run that `text` names, None where it may be a pretrained tag. Raises UserError for a run without weights."""
    try:
        run = find_run(runs, text)
    except UserError:
        if text.isdigit() or text == "last":
            raise
        return None
    if not any((run / "checkpoints" / name / "model.safetensors").exists() for name in ("best", "last")):
        raise UserError(f"Run {directory.number(run)} ({run.name}) has no weights yet to start from.")
    return run


def _named(config: RunConfig, split: Split) -> RunConfig:
    """The configuration with `auto` replaced by what was found, so that it says what the run is."""
    found = {"subset": split.subset, "format": split.format, "gallery": split.gallery}
    if config.data.source == "synthetic":
        found["format"] = "auto"
    return config.model_copy(update={"data": config.data.model_copy(update=found)})


def _with_ids_per_batch(config: RunConfig, count: int) -> RunConfig:
    return config.model_copy(update={"train": config.train.model_copy(update={"ids_per_batch": max(2, count)})})
