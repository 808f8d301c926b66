"""A trained run scored on another data set."""

from __future__ import annotations

from pathlib import Path

import torch

from engine.contract.config import DataConfig
from engine.contract.errors import UserError
from engine.data.augment import Augmentation
from engine.data.cache import load_pixels
from engine.data.cache_dir import cache_folder
from engine.data.split import open_split
from engine.evaluation.evaluate import extract, images_of, pixel_features, run_trials, write_evaluation
from engine.evaluation.geometry import geometry
from engine.evaluation.trained_model import load_trained
from engine.machine.device import open_device


def score(run: Path, data: DataConfig) -> Path:
    """Score a run's model on the test identities of `data`; returns the folder with the evaluation.

    It lies in `evaluations/` of the run, and holds what the run's own `evaluation/` holds. Raises UserError where the
    run has no model, or the data cannot be read.
    """
    config, model = load_trained(run)
    split = open_split(data)
    device = open_device(config)
    images = [split.images[image] for image in images_of(split.trials)]
    pixels = load_pixels(split.root, images, model.image_size, cache_folder())
    if pixels.bad:
        raise UserError(f"{pixels.bad[0]} cannot be decoded: repair it, or remove it from the data set.")
    tensor = torch.from_numpy(pixels.array.copy())
    model.to(device.torch).to(memory_format=torch.channels_last)
    augmentation = Augmentation(config.augment, model.mean, model.std, device.torch)
    report = run_trials(split, split.trials, extract(model, tensor, augmentation, device, config.evaluation))
    summary = {
        **report.metrics,
        "pixels": run_trials(split, split.trials, pixel_features(tensor)).metrics,
        "fingerprint": split.fingerprint,
        "dataset": split.root.name,
        "subset": split.subset,
        "gallery": split.gallery,
        "geometry": geometry(report.features, report.identity),
    }
    folder = run / "evaluations" / f"{split.root.name}-{split.subset}-{split.gallery}"
    folder.mkdir(parents=True, exist_ok=True)
    write_evaluation(folder, split, report, summary)
    return folder
