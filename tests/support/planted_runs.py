"""Finished runs with planted embeddings: the files that a trainer leaves, made from features that a test chooses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

from engine.contract import run_files
from engine.contract.config import RunConfig, resolve
from engine.contract.events import EventWriter
from handreid_tui.compare.finished_run import FinishedRun, read_run
from tests.support.events import event

TRIALS = 3


def identities(count: int = 24, images: int = 6) -> np.ndarray:
    """`count` identities, most with `images` images, some with more: their sizes must not be equal."""
    return np.repeat([f"{1000 + i}" for i in range(count)], [images + i % 3 for i in range(count)])


def clusters(identity: np.ndarray, spread: float, seed: int = 0, dims: int = 16, apart: float = 1.0) -> np.ndarray:
    """Unit-length features [N, dims] around a random mean an identity; the means do not depend on `seed`."""
    names, number = np.unique(identity, return_inverse=True)
    means = apart * np.random.default_rng(99).normal(size=(len(names), dims)) + 1.0
    features = means[number] + spread * np.random.default_rng(seed).normal(size=(len(identity), dims))
    return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)


def plant(
    runs: Path,
    number: int,
    combo: str,
    features: np.ndarray,
    identity: np.ndarray,
    seed: int = 0,
    before: dict[str, float] | None = None,
    started: dict[str, Any] | None = None,
    images: Path | None = None,
    **settings: Any,
) -> FinishedRun:
    """Write a finished run whose report was made from `features` [N, D], and read it back.

    With `images`, there is a picture of every image in that folder, and there are events to draw curves of.
    """
    config = resolve(combo, seed, **{"model.name": "handreid-tiny", "data.trials": TRIALS} | settings)
    directory = runs / f"{number:04}-{combo}"
    _write(directory, config, features, identity, before or {}, started or {}, images)
    return read_run(directory)


def _write(
    directory: Path,
    config: RunConfig,
    features: np.ndarray,
    identity: np.ndarray,
    before: dict[str, float],
    started: dict[str, Any],
    images: Path | None,
) -> None:
    folder = directory / run_files.EVALUATION
    folder.mkdir(parents=True)
    config.save(directory / run_files.CONFIG)
    events = EventWriter(directory / run_files.EVENTS)
    events.write(event("message", level="info", text="Decoding images: 1 of 2"))
    told = {
        "dataset": "planted",
        "format": "11k",
        "subset": "dorsal-right",
        "gallery": "own",
        "fingerprint": "f00d" * 4,
    }
    events.write(event("started", combo=config.combo, steps=40, epochs=4, **told | started))
    if images:
        _pictures(images, identity)
        _curves(events, config)
    names, number = np.unique(identity, return_inverse=True)
    arrays: dict[str, np.ndarray] = {}
    reports = []
    for trial in range(TRIALS):
        gallery = np.sort([np.flatnonzero(number == i)[(trial + i) % 2] for i in range(len(names))])
        query = np.setdiff1d(np.arange(len(identity)), gallery)
        ranked = [_rank(features, number, row, gallery) for row in query]
        rank, ap = np.array([r for r, _ in ranked]), np.array([a for _, a in ranked])
        arrays |= {f"{trial:02}/query": query, f"{trial:02}/gallery": gallery, f"{trial:02}/rank": rank}
        arrays |= {f"{trial:02}/{name}": ap for name in ("ap", "ap_trapezoid", "inp")}
        reports.append({"mAP": ap.mean()} | {f"rank{k}": (rank <= k).mean() for k in (1, 5, 10)})
    means = {key: float(np.mean([report[key] for report in reports])) for key in reports[0]}
    centers = np.stack([features[number == i].mean(axis=0) for i in range(len(names))])
    intra = float(np.linalg.norm(features - centers[number], axis=1).mean())
    apart = np.linalg.norm(centers[:, None] - centers[None], axis=2)
    inter = float(apart.sum() / (len(names) * (len(names) - 1)))
    summary = means | {"mAP_trapezoid": means["mAP"], "mINP": means["mAP"], "eer": 1 - means["rank1"]}
    summary |= {"seconds": 60.0 + config.seed, "best_epoch": 3, "geometry": {"intra": intra, "inter": inter}}
    listed = [
        {"name": f"hand_{row}.jpg", "path": f"{name}/hand_{row}.jpg", "identity": name}
        for row, name in enumerate(identity.tolist())
    ]
    save_file({"features": features, "identity": number}, folder / run_files.FEATURES)
    save_file({key: np.ascontiguousarray(value) for key, value in arrays.items()}, folder / run_files.TRIALS)
    (folder / run_files.IMAGES).write_text(json.dumps({"root": str(images or directory / "images"), "images": listed}))
    (folder / run_files.SUMMARY).write_text(json.dumps(summary | {"before": before}))
    events.write(event("ended", status="finished", reason=None, summary=summary))
    events.close()


def _pictures(folder: Path, identity: np.ndarray) -> None:
    """A flat picture an image, a colour an identity."""
    for row, name in enumerate(identity.tolist()):
        path = folder / name / f"hand_{row}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        shade = int(name.rpartition("/")[2]) * 37 % 200
        if not path.exists():
            Image.new("RGB", (64, 48), (shade, 255 - shade, 120 + row % 80)).save(path)


def _curves(events: EventWriter, config: RunConfig) -> None:
    """Forty steps in four epochs, every value falling or rising slowly."""
    for step in range(1, 41):
        terms = dict.fromkeys(config.loss, 2.0 / step)
        total = sum(float(config.loss[term]["weight"]) * value for term, value in terms.items())
        events.write(event("step", step=step, epoch=step // 10, total=total, terms=terms, lr=1e-3, images_per_s=100.0))
        if step % 10 == 0:
            rates = {"rank1": step / 50, "mAP": step / 60}
            events.write(
                event("evaluation", step=step, epoch=step // 10, split="val", stage="validation", trials=1, **rates)
            )
            shape = {"intra": 1 / step, "inter": 1.0, "ratio": 1 / step, "hard_gap": -step / 40, "angle": 50 - step}
            events.write(event("epoch", step=step, epoch=step // 10, seconds=1.0, total=total, geometry=shape))


def _rank(features: np.ndarray, number: np.ndarray, query: int, gallery: np.ndarray) -> tuple[int, float]:
    """Rank of the only match in the gallery, and its average precision."""
    score = features[gallery] @ features[query]
    match = number[gallery] == number[query]
    rank = int((score[~match] >= score[match].max()).sum()) + 1
    return rank, 1 / rank
