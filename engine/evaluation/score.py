"""A trained run scored on another data set."""

from __future__ import annotations

import secrets
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from engine.contract import run_files
from engine.contract.config import DataConfig
from engine.contract.errors import is_full
from engine.data.augment import Augmentation
from engine.data.cache import Resize, load_pixels
from engine.data.cache_dir import cache_folder
from engine.data.split import open_split, without
from engine.evaluation.evaluate import extract, images_of, pixel_features, run_trials, write_evaluation
from engine.evaluation.geometry import geometry
from engine.evaluation.trained_model import load_trained
from engine.machine.device import open_device


@dataclass(frozen=True)
class Scored:
    """A run's result on other data, and the folder that it is kept in; where it is not kept, why."""

    summary: dict[str, Any]
    folder: Path | None
    problem: str = ""


def score(run: Path, data: DataConfig) -> Scored:
    """Score a run's model on the test identities of `data`.

    The evaluation is kept in `evaluations/` of the run and holds what the run's own `evaluation/` holds. A run that
    cannot be written (another user's, a full disk) is scored all the same. Raises UserError where the run has no
    model, or the data cannot be read.
    """
    config, model = load_trained(run)
    split = open_split(data)
    device = open_device(config)
    images = [split.images[image] for image in images_of(split.trials)]
    pixels = load_pixels(split.root, images, Resize(model.image_size, model.interpolation), cache_folder())
    split = without(split, pixels.bad)
    rows = [row for row, image in enumerate(images) if image.name not in pixels.bad]
    tensor, identities = torch.from_numpy(pixels.array[rows]), [images[row].identity for row in rows]
    for warning in (*pixels.notes, *split.warnings):
        print(f"Note: {warning}", file=sys.stderr)
    model.to(device.torch).to(memory_format=torch.channels_last)
    augmentation = Augmentation(config.augment, model.mean, model.std, device.torch)
    features = extract(model, tensor, augmentation, device, config.evaluation, identities)
    reranked = config.evaluation.rerank
    report = run_trials(split, split.trials, features, reranked)
    summary = {
        **report.metrics,
        "pixels": run_trials(split, split.trials, pixel_features(tensor), reranked).metrics,
        "fingerprint": split.fingerprint,
        "dataset": split.root.name,
        "subset": split.subset,
        "gallery": split.gallery,
        "geometry": geometry(report.features, report.identity),
    } | ({"rerank": True} if reranked else {})
    # Folders of data sets often have the same name: the split's fingerprint tells them apart.
    name = f"{split.root.name[:100]}-{split.subset}-{split.gallery}-{split.fingerprint[:8]}"
    folder = run / run_files.EVALUATIONS / name
    unfinished = folder.with_name(f".{secrets.token_hex(8)}")
    try:
        unfinished.mkdir(parents=True)
        write_evaluation(unfinished, split, report, summary)
        shutil.rmtree(folder, ignore_errors=True)  # the same data, scored before
        unfinished.rename(folder)
    except (OSError, SafetensorError) as error:  # safetensors has an error of its own for a full disk
        shutil.rmtree(unfinished, ignore_errors=True)
        problem = "the disk is full" if is_full(error) else getattr(error, "strerror", None) or str(error)
        return Scored(summary, None, problem)
    return Scored(summary, folder)
