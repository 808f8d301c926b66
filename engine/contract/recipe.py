"""Default settings per model, from the published recipes. What a user sets stands above them. No torch here.

CLIP image encoders: the image-encoder stage of CLIP-ReID (Li et al. 2023, section 4.1) with the ten times larger
head rate and the square input of CLIP-HandID. `handreid-tiny`: found on synthetic and real hands, see docs/model.md.
"""

from __future__ import annotations

from typing import Any

TINY = "handreid-tiny"
DEFAULT_MODEL = "ViT-B-16"

CLIP_RECIPE: dict[str, Any] = {
    "model.pretrained": "openai",
    "train.epochs": 60,
    "train.ids_per_batch": 16,
    "train.images_per_id": 4,
    "train.optimizer": "adam",
    "train.lr": 5e-6,
    "train.head_lr": 5e-5,
    "train.weight_decay": 1e-4,
    "train.schedule": "step",
    "train.warmup_epochs": 10,
    "train.milestones": [30, 50],
    "train.decay": 0.1,
    "augment.flip": 0.5,
    "augment.pad": 10,
    "augment.erase": 0.5,
}

TINY_RECIPE: dict[str, Any] = {
    "model.pretrained": "none",
    "train.epochs": 40,
    "train.ids_per_batch": 16,
    "train.images_per_id": 4,
    "train.optimizer": "adamw",
    "train.lr": 1e-3,
    "train.head_lr": 1e-3,
    "train.weight_decay": 0.05,
    "train.schedule": "cosine",
    "train.warmup_epochs": 2,
    "augment.flip": 0.0,
    "augment.pad": 4,
    "augment.erase": 0.0,
    "augment.jitter": 0.1,
    "augment.rotate": 5.0,
    "augment.zoom": 0.1,
    "evaluation.every": 2,
    "threads": 1,  # a second thread gains little on matrices this small, and loses much on a busy machine
}


def recipe(model: str) -> dict[str, Any]:
    """The defaults for `model`, as dotted configuration keys."""
    return dict(TINY_RECIPE if model.startswith(TINY) else CLIP_RECIPE)


def default_model(source: str) -> str:
    """The demo's model on synthetic hands, CLIP's on a user's own data."""
    return TINY if source == "synthetic" else DEFAULT_MODEL
