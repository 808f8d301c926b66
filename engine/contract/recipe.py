"""Default settings per family of models, from the published recipes. A user's settings override them. No torch here.

CLIP's vision transformers: the image-encoder stage of CLIP-ReID (Li et al. 2023, section 4.1) with the ten times
larger head rate and the square input of CLIP-HandID. CLIP's ResNets: the same work's recipe for RN50. Other ResNets,
pretrained on ImageNet: MBA-Net (Baisa et al. 2022) in input, rates and schedule. `handreid-tiny`: found on synthetic
and real hands, see docs/model.md.
"""

from __future__ import annotations

import re
from typing import Any

from engine.contract.models import HUB, ON_HUB, START_MODEL, SYNTHETIC, TIMM

TINY = "handreid-tiny"
DEFAULT_MODEL = "ViT-B-16"

Recipe = dict[str, Any]

CLIP_RECIPE: Recipe = {
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

CLIP_RESNET_RECIPE: Recipe = CLIP_RECIPE | {
    "train.epochs": 120,
    "train.lr": 3.5e-4,
    "train.head_lr": 3.5e-4,
    "train.weight_decay": 5e-4,
    "train.warmup_from": 0.01,
    "train.milestones": [40, 70],
}

RESNET_RECIPE: Recipe = CLIP_RECIPE | {
    "model.image_size": 324,
    "train.epochs": 70,
    "train.lr": 8e-5,
    "train.head_lr": 8e-4,
    "train.weight_decay": 5e-4,
    "train.warmup_from": 0.01,
    "train.milestones": [40, 60],
    "train.decay": 0.5,
    "augment.pad": 16,
    "augment.erase": 0.0,
    "augment.jitter": 0.1,
}

# CLIP-HandID (Baisa 2025), for both of its encoders; its batch of 20 random images is 5 identities x 4 images here.
CLIP_HANDID_RECIPE: Recipe = {
    "train.epochs": 70,
    "train.ids_per_batch": 5,
    "train.images_per_id": 4,
    "train.lr": 5e-6,
    "train.head_lr": 5e-5,
    "train.weight_decay": 5e-4,
    "train.warmup_from": 0.01,
    "train.milestones": [40, 60],
    "train.decay": 0.5,
    "augment.pad": 16,
    "augment.erase": 0.0,
}

TINY_RECIPE: Recipe = {
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
    "loss.i2t.scale": 30.0,  # the features of a random start have no useful length
    "threads": 1,  # a second thread gains little on matrices this small, and loses much on a busy machine
}

# A low rate: the start is worth more than what a few real images teach.
START_RECIPE: Recipe = TINY_RECIPE | {
    "model.pretrained": SYNTHETIC,
    "model.image_size": 128,
    "model.branches": "parts",
    "train.epochs": 20,
    "train.lr": 1e-4,
    "augment.pad": 6,
    "augment.jitter": 0.2,
    "augment.rotate": 10.0,
    "augment.zoom": 0.2,
    "evaluation.every": 5,
}


def recipe(model: str, of_system: Recipe | None = None) -> Recipe:
    """The defaults for `model`, as dotted configuration keys; `of_system`: those of a published system, which stand
    above them, except for our own models."""
    if model.startswith(TINY):
        return dict(TINY_RECIPE)
    if model == START_MODEL:
        return dict(START_RECIPE)
    weights = {"model.pretrained": HUB} if model.startswith((TIMM, ON_HUB)) else {}
    return _of_family(model) | weights | (of_system or {})


def _of_family(model: str) -> Recipe:
    if re.match(rf"{TIMM}(wide_)?(se)?resne", model):
        return RESNET_RECIPE
    return CLIP_RESNET_RECIPE if re.match(r"RN\d", model) else CLIP_RECIPE


def default_model(source: str) -> str:
    """The demo's model on synthetic hands, CLIP's on a user's own data."""
    return TINY if source == "synthetic" else DEFAULT_MODEL
