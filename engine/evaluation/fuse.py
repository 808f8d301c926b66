"""Score-level fusion of runs: one score for each pair of images, a weighted sum of the runs' cosines.

Each run's cosine is divided by the standard deviation of its validation scores of different people, then weighted (sum
rule after z-normalisation: Jain, Nandakumar and Ross 2005, Score normalization in multimodal biometric systems,
sections 2.2 and 4; a shift is the same for all pairs and changes nothing). A weighted sum of cosines is the cosine of
the features side by side, each scaled by the root of its weight: so the fused run has features like any other.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from engine.contract import run_files
from engine.contract.config import RunConfig
from engine.contract.errors import UserError
from engine.contract.events import EvaluationDone, EventWriter, RunEnded, RunStarted
from engine.contract.metrics import SELECTED_BY
from engine.data.augment import Augmentation
from engine.data.cache import Resize, load_pixels
from engine.data.cache_dir import cache_folder
from engine.data.catalog import Split, Trial
from engine.data.same_split import read_begun
from engine.data.split import open_split, without
from engine.evaluation.evaluate import Report, extract, images_of, run_trials, write_evaluation
from engine.evaluation.geometry import geometry
from engine.evaluation.ranking import rank_queries, summarise
from engine.evaluation.trained_model import load_trained
from engine.machine.device import open_device
from engine.training.setup import validation_trial

STEPS = {2: 20, 3: 10, 4: 10}  # of the weights' grid, by the number of runs


@dataclass(frozen=True)
class Fused:
    """`weights` of the members, one in all; validation mAP of the fusion and of each member alone."""

    weights: list[float]
    validation: float
    alone: list[float]


def fuse(members: list[Path], folder: Path, about: dict[str, Any]) -> Fused:
    """Write the `evaluation` and the events of a run that combines `members` into `folder`.

    `about`: its `combo`, and what the summary tells of the members. Weights are chosen by the mAP of the validation,
    the most equal ones among the best; no test image takes part. Raises UserError where a run has no model or no
    validation, or its data are not what it was tested on.
    """
    configs = [RunConfig.load(member / run_files.CONFIG) for member in members]
    began = time.monotonic()
    split = _split_of(configs[0], members[0])
    trials = split.validation or (validation_trial(split),)
    validation = [_validation_features(member, split, trials) for member in members]
    scales = [_spread_of_others(split, trials, features) for features in validation]
    scaled = [each / scale**0.5 for each, scale in zip(validation, scales, strict=True)]
    fused = choose_weights(split, trials, scaled)
    shares = [weight / scale for weight, scale in zip(fused.weights, scales, strict=True)]
    test = [load_file(member / run_files.EVALUATION / run_files.FEATURES)["features"] for member in members]
    report = run_trials(split, split.trials, side_by_side(test, shares), configs[0].evaluation.rerank)
    _write(folder, split, configs, report, fused, about, len(trials), time.monotonic() - began)
    return fused


def side_by_side(features: list[Tensor], shares: list[float]) -> Tensor:
    """Unit features [N, sum of D] whose cosine is the weighted mean of the cosines of `features` [N, D] each."""
    total = sum(shares)
    return torch.cat([each * (share / total) ** 0.5 for each, share in zip(features, shares, strict=True)], dim=1)


def choose_weights(split: Split, trials: tuple[Trial, ...], members: list[Tensor]) -> Fused:
    """The weights with the best validation mAP; `members`: features of `images_of(trials)`, scaled, [N, D] each."""
    images = images_of(trials)
    names = sorted({split.images[image].identity for image in images})
    identity = torch.tensor([names.index(split.images[image].identity) for image in images])
    row = {image: place for place, image in enumerate(images)}
    rows = [(torch.tensor([row[i] for i in t.query]), torch.tensor([row[i] for i in t.gallery])) for t in trials]

    def score(weights: tuple[float, ...]) -> float:
        features = torch.cat([each * weight**0.5 for each, weight in zip(members, weights, strict=True)], dim=1)
        features = torch.nn.functional.normalize(features)  # all rows have one length: a common factor
        found = [
            summarise(rank_queries(features[q], features[g], identity[q], identity[g]))[SELECTED_BY] for q, g in rows
        ]
        return sum(found) / len(found)

    found = {weights: score(weights) for weights in _grid(len(members))}
    equal = 1 / len(members)
    best = max(found, key=lambda weights: (found[weights], -sum((weight - equal) ** 2 for weight in weights)))
    alone = [tuple(float(place == member) for place in range(len(members))) for member in range(len(members))]
    return Fused(list(best), found[best], [found[each] for each in alone])


def _grid(members: int) -> list[tuple[float, ...]]:
    """All weights in steps of 1 / STEPS that sum to one."""
    steps = STEPS[members]
    parts = itertools.product(range(steps + 1), repeat=members - 1)
    return [(*(p / steps for p in part), (steps - sum(part)) / steps) for part in parts if sum(part) <= steps]


def _split_of(config: RunConfig, run: Path) -> Split:
    """The split as the run tested it: without the images that could not be decoded then."""
    split = open_split(config.data)
    begun = read_begun(run / run_files.EVENTS)
    if begun is None or begun.fingerprint != split.fingerprint:
        raise UserError(f"The data in {split.root} are not those that {run.name} was trained and tested on.")
    listed = json.loads((run / run_files.EVALUATION / run_files.IMAGES).read_text())["images"]
    kept = {(image["name"], image["identity"]) for image in listed}
    tested = [split.images[image] for image in images_of(split.trials)]
    gone = {image.name: "not tested" for image in tested if (image.name, image.identity) not in kept}
    split = without(split, gone)
    if not split.val and not split.validation:
        raise UserError(f"{run.name} has no validation images to choose weights by: use data.validation=identities.")
    return split


def _validation_features(run: Path, split: Split, trials: tuple[Trial, ...]) -> Tensor:
    config, model = load_trained(run)
    images = [split.images[image] for image in images_of(trials)]
    pixels = load_pixels(split.root, images, Resize(model.image_size, model.interpolation), cache_folder())
    if pixels.bad:
        name, reason = next(iter(pixels.bad.items()))
        raise UserError(f"Weights cannot be chosen: the validation image {name} cannot be decoded ({reason}).")
    device = open_device(config)
    model.to(device.torch).to(memory_format=torch.channels_last)
    augmentation = Augmentation(config.augment, model.mean, model.std, device.torch)
    identities = [image.identity for image in images]
    return extract(model, torch.from_numpy(pixels.array.copy()), augmentation, device, config.evaluation, identities)


def _spread_of_others(split: Split, trials: tuple[Trial, ...], features: Tensor) -> float:
    """Standard deviation of the cosines of different people in the validation, at least 1e-6."""
    images = images_of(trials)
    row = {image: place for place, image in enumerate(images)}
    values = []
    for trial in trials:
        query, gallery = ([row[image] for image in part] for part in (trial.query, trial.gallery))
        who = [[split.images[image].identity for image in part] for part in (trial.query, trial.gallery)]
        other = torch.tensor([[a != b for b in who[1]] for a in who[0]])
        values.append((features[query] @ features[gallery].T)[other])
    return max(1e-6, float(torch.cat(values).std()))


def _write(
    folder: Path,
    split: Split,
    configs: list[RunConfig],
    report: Report,
    fused: Fused,
    about: dict[str, Any],
    trials: int,
    seconds: float,
) -> None:
    members = [member | {"weight": weight} for member, weight in zip(about["runs"], fused.weights, strict=True)]
    summary: dict[str, Any] = {
        **report.metrics,
        "seconds": round(seconds, 3),
        "validation_mAP": fused.validation,
        "geometry": geometry(report.features, report.identity),
        "fusion": {"runs": members, "validation": asdict(fused)},
    } | ({"rerank": True} if configs[0].evaluation.rerank else {})
    write_evaluation(folder / run_files.EVALUATION, split, report, summary)
    metrics = dict(report.metrics)
    unmatched = metrics.pop("queries_without_match")
    data, source = configs[0].data, split.root.name
    events = EventWriter(folder / run_files.EVENTS)
    events.write(
        RunStarted(
            pid=os.getpid(),
            host=socket.gethostname(),
            device="cpu",
            combo=about["combo"],
            epochs=0,
            steps=0,
            dataset=source if data.source != "synthetic" else "synthetic",
            format=split.format,
            subset=split.subset,
            gallery=split.gallery,
            fingerprint=split.fingerprint,
            found=split.found,
            model=" + ".join(dict.fromkeys(config.model.name for config in configs)),
            train_images=len(split.train),
            train_identities=len(split.classes),
            test_identities=len({split.images[image].identity for image in split.test}),
        )
    )
    events.write(EvaluationDone(0, 0, "val", "validation", trials, metrics={SELECTED_BY: fused.validation}))
    events.write(EvaluationDone(0, 0, "test", "final", len(split.trials), unmatched, metrics))
    events.write(RunEnded("finished", summary=summary))
    events.close()
