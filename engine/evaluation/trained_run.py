"""A trained run away from its training: scored on another data set, and written out for open_clip alone."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from engine.contract import run_files
from engine.contract.config import DataConfig, ModelConfig, RunConfig
from engine.contract.errors import UserError
from engine.data.augment import Augmentation
from engine.data.cache import load_pixels
from engine.data.cache_dir import cache_folder
from engine.data.catalog import Split
from engine.data.split import open_split, without
from engine.evaluation.evaluate import Report, extract, identities, pixel_features, run_trials, write_evaluation
from engine.evaluation.geometry import geometry
from engine.machine.device import open_device
from engine.model.reid_model import ReIDModel, build_model
from engine.training.checkpoint import load_checkpoint

TEXT = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 1, "layers": 1}  # a stand-in: CLIP needs one


def load_trained(run: Path) -> tuple[RunConfig, ReIDModel]:
    """The best model of a run, with its necks. Raises UserError where the run has none."""
    config = RunConfig.load(run / run_files.CONFIG)
    checkpoint = load_checkpoint(run / run_files.BEST_CHECKPOINT)
    if checkpoint is None:
        raise UserError(f"{run.name} has no sound weights: only a run that has trained can be scored or exported.")
    weights = config.model.model_copy(update={"pretrained": str((run / run_files.BEST_CHECKPOINT).absolute())})
    model = build_model(ModelConfig.model_validate(weights.model_dump()), config.seed)
    prefix = "necks."
    necks = {name.removeprefix(prefix): value for name, value in checkpoint.weights.items() if name.startswith(prefix)}
    model.necks.load_state_dict(necks)
    return config, model


@dataclass(frozen=True)
class Scored:
    """A run's result on other data, and the folder that it is kept in; where it is not kept, why."""

    summary: dict[str, Any]
    folder: Path | None
    problem: str = ""


def score(run: Path, data: DataConfig) -> Scored:
    """Score a run's model on the test identities of `data`.

    The evaluation is kept in `evaluations/` of the run and holds what the run's own `evaluation/` holds. A run that
    cannot be written (another user's, a full disk) is scored all the same.
    """
    config, model = load_trained(run)
    split = open_split(data)
    device = open_device(config)
    wanted = tuple(sorted({image for trial in split.trials for image in (*trial.query, *trial.gallery)}))
    pixels = load_pixels(split.root, [split.images[image] for image in wanted], model.image_size, cache_folder())
    split = without(split, pixels.bad)
    rows = [row for row, image in enumerate(wanted) if split.images[image].name not in pixels.bad]
    images = tuple(wanted[row] for row in rows)
    tensor = torch.from_numpy(pixels.array[rows])
    for warning in (*pixels.notes, *split.warnings):
        print(f"Note: {warning}", file=sys.stderr)
    model.to(device.torch).to(memory_format=torch.channels_last)
    augmentation = Augmentation(config.augment, model.mean, model.std, device.torch)
    features = extract(model, tensor, augmentation, device, config.evaluation)
    identity, _ = identities(split, images)
    position = {image: row for row, image in enumerate(images)}
    report = run_trials(features, identity, split.trials, position)
    baseline = run_trials(pixel_features(tensor), identity, split.trials, position)
    summary = _summary(report, baseline, split) | {"geometry": geometry(features, identity)}
    # Folders of data sets often have the same name: the split's fingerprint tells them apart.
    name = f"{split.root.name[:100]}-{split.subset}-{split.gallery}-{split.fingerprint[:8]}"
    folder = run / run_files.EVALUATIONS / name
    unfinished = folder.with_name(f".{secrets.token_hex(8)}")
    try:
        unfinished.mkdir(parents=True)
        write_evaluation(unfinished, split, images, features, report, summary)
        shutil.rmtree(folder, ignore_errors=True)  # the same data, scored before
        unfinished.rename(folder)
    except (OSError, SafetensorError) as error:  # safetensors has an error of its own for a full disk
        shutil.rmtree(unfinished, ignore_errors=True)
        return Scored(summary, None, getattr(error, "strerror", None) or str(error))
    return Scored(summary, folder)


def _summary(report: Report, baseline: Report, split: Split) -> dict[str, Any]:
    protocol = {"dataset": split.root.name, "subset": split.subset, "gallery": split.gallery}
    return {**report.metrics, "pixels": baseline.metrics, "fingerprint": split.fingerprint, **protocol}


def export(run: Path, folder: Path) -> None:
    """Write a run's encoder and preprocessing so that `open_clip.create_model_and_transforms("local-dir:…")` loads it.

    Its `encode_image` gives the feature after the projection and before the neck. The text tower is a small stand-in.
    """
    config, model = load_trained(run)
    settings = open_clip.get_model_config(config.model.name)
    settings["vision_cfg"]["image_size"] = model.image_size
    settings |= {"text_cfg": TEXT, "quick_gelu": model.quick_gelu}
    settings.pop("custom_text", None)
    preprocessing = {"size": model.image_size, "mean": model.mean, "std": model.std, "resize_mode": "squash"}
    state = {name: value.contiguous() for name, value in model.encoder.open_clip_state().items()}
    folder.mkdir(parents=True, exist_ok=True)
    names = {"model_cfg": settings, "preprocess_cfg": preprocessing}
    (folder / "open_clip_config.json").write_text(json.dumps(names, indent=2) + "\n")
    stand_in = open_clip.model.CLIP(**settings).state_dict()
    rest = {name: value for name, value in stand_in.items() if not name.startswith("visual.")}
    save_file(state | rest, folder / "open_clip_model.safetensors", metadata={"run": run.name})
