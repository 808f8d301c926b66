"""From images to a report: features, the trials' rankings, their means, and the evaluation folder of a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from engine.contract import run_files
from engine.contract.config import EvaluationConfig
from engine.contract.events import dumps
from engine.data.augment import Augmentation
from engine.data.catalog import Split, Trial
from engine.data.people import aspect_numbers
from engine.evaluation.ranking import Ranking, rank_distances, rank_queries, summarise, verification
from engine.machine.device import Device
from engine.model.reid_model import ReIDModel
from engine.search.open_set import open_set_metrics
from engine.search.rerank import rerank
from engine.search.searches import TrialRows

BATCH = 256  # images in one forward pass: large enough to fill a GPU, small enough for a CPU's cache


@dataclass(frozen=True)
class Report:
    """What retrieval over the trials gave: the means of the metrics, and every query's own result.

    `images`: those of the trials, as positions in the split, in the order of `features` [N, D] and `identity` [N].
    """

    metrics: dict[str, float]
    rankings: list[Ranking]
    images: tuple[int, ...]
    features: Tensor
    identity: Tensor


def images_of(trials: tuple[Trial, ...]) -> tuple[int, ...]:
    """Every image of the trials, as positions in the split, sorted: the rows that `run_trials` expects."""
    return tuple(sorted({image for trial in trials for image in (*trial.query, *trial.gallery)}))


def extract(
    model: ReIDModel,
    images: Tensor,
    augmentation: Augmentation,
    device: Device,
    config: EvaluationConfig,
    identities: Sequence[str] = (),
) -> Tensor:
    """Unit-length features [N, D], float32 on the CPU, of uint8 `images` [N, S, S, 3]; every image, in order.

    `identities` [N]: for a model that takes the aspect of each image, which is read off them. Raises UserError where
    one has no aspect.
    """
    aspects = torch.from_numpy(aspect_numbers(identities)).to(device.torch) if model.takes_aspects else None
    was_training = model.training
    model.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            batch = augmentation.plain(images[start : start + BATCH].to(device.torch, non_blocking=True))
            seen_as = None if aspects is None else aspects[start : start + BATCH]
            with device.precision():
                features = model.embed(batch, config.feature, seen_as)
                if config.flip:
                    features = features + model.embed(batch.flip(3), config.feature, seen_as)
            parts.append(F.normalize(features.float()))
    model.train(was_training)
    return torch.cat(parts).cpu()


def pixel_features(images: Tensor) -> Tensor:
    """The baseline that any model must beat: raw 32 x 32 pixels [N, 3072], scaled to unit length."""
    small = [
        F.interpolate(some.permute(0, 3, 1, 2).float(), size=(32, 32), mode="bilinear", antialias=True)
        for some in images.split(BATCH)
    ]
    return F.normalize(torch.cat(small).flatten(1))


def run_trials(split: Split, trials: tuple[Trial, ...], features: Tensor, reranked: bool = False) -> Report:
    """Rank every trial's queries against its gallery; `features` [N, D] are those of `images_of(trials)`.

    Metrics are means over the trials, as the field publishes them; open-set rates have one threshold for all trials.
    reranked: ranks by k-reciprocal re-ranking; verification and open-set rates stay those of the cosine.
    """
    images = images_of(trials)
    identity, row = _identity(split, images), _rows(images)
    rankings, metrics, searched = [], [], []
    for trial in trials:
        query, gallery = row(trial.query), row(trial.gallery)
        pairs = (features[query], features[gallery], identity[query], identity[gallery])
        rankings.append(_reranked(*pairs) if reranked else rank_queries(*pairs))
        metrics.append(summarise(rankings[-1]) | verification(*pairs))
        searched.append(TrialRows(query.numpy(), gallery.numpy()))
    means = {name: sum(each[name] for each in metrics) / len(metrics) for name in metrics[0]}
    names = np.array([split.images[image].identity for image in images])
    means |= open_set_metrics(features.numpy().astype(np.float64), names, searched)
    return Report(means, rankings, images, features, identity)


def _reranked(query: Tensor, gallery: Tensor, query_identity: Tensor, gallery_identity: Tensor) -> Ranking:
    distance = torch.from_numpy(rerank(query.numpy(), gallery.numpy()))
    return rank_distances(distance, query_identity, gallery_identity)


def _identity(split: Split, images: tuple[int, ...]) -> Tensor:
    """The identity of each of `images` as a number [N], in the order of their names."""
    names = sorted({split.images[image].identity for image in images})
    number = {name: place for place, name in enumerate(names)}
    return torch.tensor([number[split.images[image].identity] for image in images])


def _rows(images: tuple[int, ...]) -> Callable[[tuple[int, ...]], Tensor]:
    """The rows of some of `images` among all of them."""
    position = {image: row for row, image in enumerate(images)}
    return lambda some: torch.tensor([position[image] for image in some])


def write_evaluation(folder: Path, split: Split, report: Report, summary: dict[str, Any]) -> None:
    """Keep what the report of the split's trials was made from: anyone can recompute and compare it without a model."""
    folder.mkdir(exist_ok=True)
    save_file({"features": report.features.contiguous(), "identity": report.identity}, folder / run_files.FEATURES)
    shown = map(split.images.__getitem__, report.images)
    listed = [{"name": image.name, "path": image.path, "identity": image.identity} for image in shown]
    (folder / run_files.IMAGES).write_text(json.dumps({"root": str(split.root), "images": listed}))
    arrays: dict[str, Tensor] = {}
    row = _rows(report.images)
    for number, (trial, ranking) in enumerate(zip(split.trials, report.rankings, strict=True)):
        arrays |= {
            f"{number:02}/query": row(trial.query),
            f"{number:02}/gallery": row(trial.gallery),
            f"{number:02}/rank": ranking.rank.long(),
            f"{number:02}/ap": ranking.ap.double(),
            f"{number:02}/ap_trapezoid": ranking.ap_trapezoid.double(),
            f"{number:02}/inp": ranking.inp.double(),
        }
    save_file({name: value.contiguous() for name, value in arrays.items()}, folder / run_files.TRIALS)
    (folder / run_files.SUMMARY).write_text(dumps(summary) + "\n")
