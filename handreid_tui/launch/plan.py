"""From what a user chose to the configurations of the runs, checked against the data before anything is made."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.contract import run_files
from engine.contract.combos import Combo
from engine.contract.config import RunConfig, learns_texts, resolve, setting_name
from engine.contract.errors import UserError
from engine.contract.models import SYNTHETIC, check_model_name
from engine.contract.start import MINUTES, is_start, start_folder, start_name, start_recipe
from engine.contract.terms import TERMS
from engine.contract.texts import check_texts
from engine.data.cache_dir import cache_folder
from engine.data.catalog import Split
from engine.data.people import check_aspects
from engine.data.split import check_batch, open_split, steps_per_epoch
from engine.data.synthetic import demo_folder
from engine.data.wording import count
from handreid_tui.launch.devices import list_gpus, visible_gpus
from handreid_tui.launch.grid import Axes, combinations
from handreid_tui.launch.slurm.client import check_login_node
from handreid_tui.launch.weights import check_weights
from handreid_tui.runs import directory
from handreid_tui.runs.select import find_run

FEW_STEPS, ENOUGH_STEPS = 150, 200  # of a training on few images: 40 were too few for every system measured


@dataclass(frozen=True)
class LaunchPlan:
    """Runs to make, their splits (one for each distinct data section), and what a user should know before they start.

    grid: the settings with several values. equal: configurations left out because an earlier one trains the same.
    few_steps: a note where the epochs are only a few steps, "" where they are not.
    """

    configs: list[RunConfig]
    splits: list[Split]
    warnings: list[str]
    grid: Axes = field(default_factory=dict)
    equal: int = 0
    few_steps: str = ""

    @property
    def headline(self) -> str:
        """How many runs, data and model in one line, as they were chosen."""
        models = dict.fromkeys((config.model.name, config.model.pretrained) for config in self.configs)
        started = [f"{name} {'from scratch' if w == 'none' else f'from {Path(w).name}'}" for name, w in models]
        tested = dict.fromkeys(
            f"{split.subset} ({split.gallery} gallery, {len(split.trials[0].gallery)} images)" for split in self.splits
        )
        source = self.configs[0].data.source
        data = "synthetic hands" if source == "synthetic" else self.splits[0].found
        data += f" ({len(self.splits)} splits)" if len(self.splits) > 1 else ""
        return " · ".join([self.count, data, ", ".join(tested), ", ".join(started)])

    @property
    def count(self) -> str:
        """The number of runs, and what makes them so many: `9 runs (loss.triplet.margin 0.1, 0.3)`."""
        runs = f"{len(self.configs)} run{'s' if len(self.configs) > 1 else ''}"
        varied = [f"{key} {', '.join(map(_shown, values))}" for key, values in self.grid.items()]
        left_out = [f"{self.equal} equal left out"] if self.equal else []
        return f"{runs} ({'; '.join([*varied, *left_out])})" if varied or left_out else runs


def plan(
    combos: list[str],
    seeds: list[int],
    settings: dict[str, Any],
    runs: Path,
    own: dict[str, Combo] | None = None,
    tell: Callable[[str], None] = lambda text: None,
    grid: Axes | None = None,
) -> LaunchPlan:
    """One configuration for every combo, combination of the grid's values and seed, and the checks without a trainer.

    `settings` holds dotted configuration keys, `grid` those with several values; `tell` hears of what takes a while.
    Every distinct model, data section and batch is checked. Raises UserError for everything that is known to fail.
    """
    grid = grid or {}
    settings = _with_paths(settings, runs)
    chosen, equal = resolve_all(combos, seeds, settings, grid, own)
    _check_loss_settings(settings | grid, chosen)
    for name, pretrained in dict.fromkeys((config.model.name, config.model.pretrained) for config in chosen):
        check_model_name(name)
        check_weights(name, pretrained)
    chosen = [_with_start(config) for config in chosen]
    for config in chosen:
        if any(TERMS[term].texts for term in config.loss):
            check_texts(config.combo, config.model.name, config.model.pretrained)
    if chosen[0].data.source == "synthetic" and not demo_folder(cache_folder()).is_dir():
        tell("Generating the synthetic hands, once …")
    asked = [config.data for config in chosen]
    split_of = {data: open_split(data) for data in dict.fromkeys(asked)}
    warnings = _start_to_train(chosen) + [warning for split in split_of.values() for warning in split.warnings]
    batch_is_open = "train.ids_per_batch" not in settings | grid
    configs, batches = [], {}
    for config in chosen:
        split = split_of[config.data]
        if config.model.aspect_embedding:
            check_aspects(split)
        if config.loss and batch_is_open and config.train.ids_per_batch > len(split.classes):
            fewer = f"batch reduced from {config.train.ids_per_batch} identities to {max(2, len(split.classes))}."
            warnings.append(f"Only {count(len(split.classes), 'training identity')}: {fewer}")
            config = _with_ids_per_batch(config, len(split.classes))
        if config.loss:
            batches[config.data, config.train.ids_per_batch, config.train.images_per_id] = split
        configs.append(_named(config, split))
    for (_, ids_per_batch, images_per_id), split in batches.items():
        warnings += check_batch(split, ids_per_batch, images_per_id)
    few_steps = _few_steps([(config, split_of[data]) for config, data in zip(configs, asked, strict=True)])
    return LaunchPlan(configs, list(split_of.values()), list(dict.fromkeys(warnings)), grid, equal, few_steps)


def resolve_all(
    combos: list[str], seeds: list[int], settings: dict[str, Any], grid: Axes, own: dict[str, Combo] | None
) -> tuple[list[RunConfig], int]:
    """The distinct configurations, a combo's together, and how many others train the same: settings of absent terms.

    Raises UserError on a wrong setting.
    """
    found: dict[str, RunConfig] = {}
    points = combinations(grid)
    for combo in combos:
        for point in points:
            config = resolve(combo, seeds[0], own, **settings | point)
            found.setdefault(config.to_json(exclude=set() if config.loss else {"train", "augment"}), config)
    configs = [config.model_copy(update={"seed": seed}) for config in found.values() for seed in seeds]
    return configs, (len(combos) * len(points) - len(found)) * len(seeds)


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def check_place(settings: dict[str, Any], grid: Axes | None = None, *, on_slurm: bool) -> None:
    """Whether runs can start where they are asked to: quick, and thus before any image is drawn or read.

    Raises UserError where this is no login node of a cluster, or no machine with such a GPU.
    """
    if on_slurm:
        check_login_node()
        return
    for device in (grid or {}).get("device", [settings.get("device", "auto")]):
        check_device(str(device))


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
        if key.startswith("prompts.") and not any(learns_texts(config.loss) for config in configs):
            chosen = ", ".join(dict.fromkeys(config.combo for config in configs))
            raise UserError(f"{key} is set, but no chosen combination ({chosen}) learns prompts, as clip_reid does.")


def _few_steps(runs: list[tuple[RunConfig, Split]]) -> str:
    """The note about the training with the fewest steps; `zero_shot` and 0 epochs train nothing."""
    trainings = []
    for config, split in runs:
        train, images = config.train, len(split.train)
        if config.loss and train.epochs:
            each = steps_per_epoch(images, train.ids_per_batch, train.images_per_id)
            trainings.append((train.epochs * each, train.epochs, each, images))
    steps, epochs, each, images = min(trainings, default=(FEW_STEPS, 0, 1, 0))
    if steps >= FEW_STEPS:
        return ""
    verb = "is" if epochs == 1 else "are"
    what = f"{count(epochs, 'epoch')} {verb} only {count(steps, 'step')} on {count(images, 'training image')}"
    return f"{what}: consider {-(-ENOUGH_STEPS // each)} epochs."


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
        earlier = RunConfig.load(run / run_files.CONFIG).model
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
    if not any(
        (run / run_files.CHECKPOINTS / name / run_files.MODEL).exists() for name in (run_files.BEST, run_files.LAST)
    ):
        raise UserError(f"Run {directory.number(run)} ({run.name}) has no weights yet to start from.")
    return run


def _with_start(config: RunConfig) -> RunConfig:
    """The configuration with the key of the start on synthetic hands, so that results name it."""
    if config.model.pretrained != SYNTHETIC:
        return config
    named = config.model.model_copy(update={"pretrained": start_name(start_recipe())})
    return config.model_copy(update={"model": named})


def _start_to_train(configs: list[RunConfig]) -> list[str]:
    """A note where a run must train its start first."""
    keys = {config.model.pretrained.partition(":")[2] for config in configs if is_start(config.model.pretrained)}
    if all(start_folder(cache_folder(), key).is_dir() for key in keys):
        return []
    return [f"The weights 'synthetic' are trained first, once: about {MINUTES} minutes on two cores."]


def _named(config: RunConfig, split: Split) -> RunConfig:
    """The configuration with `auto` replaced by what was found, so that it says what the run is."""
    found = {"subset": split.subset, "format": split.format, "gallery": split.gallery}
    if config.data.source == "synthetic":
        found["format"] = "auto"
    return config.model_copy(update={"data": config.data.model_copy(update=found)})


def _with_ids_per_batch(config: RunConfig, count: int) -> RunConfig:
    return config.model_copy(update={"train": config.train.model_copy(update={"ids_per_batch": max(2, count)})})
