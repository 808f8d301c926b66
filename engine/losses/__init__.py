"""The losses, a file each. All take features [B, D] or logits [B, C] and integer identities [B].

`LOSSES` makes each term of `engine.contract.terms`: term -> constructor(dim, classes, **options), which returns
loss(features [B, dim], target [B]) -> a scalar. Terms that give each image a text also take the text tower, as `read`
and `width` (see `inversion.py`).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from engine.losses.arcface import ArcFace
from engine.losses.center import CenterLoss
from engine.losses.circle import circle
from engine.losses.classifier import LinearClassifier
from engine.losses.cosface import CosFace
from engine.losses.cross_entropy import cross_entropy
from engine.losses.facenet import FaceNet
from engine.losses.image_to_text import ImageToText
from engine.losses.inversion import Inversion
from engine.losses.pairs import valid_anchors
from engine.losses.supcon import supcon
from engine.losses.triplet import batch_hard_triplet

__all__ = [
    "LOSSES",
    "ArcFace",
    "CenterLoss",
    "CosFace",
    "FaceNet",
    "ImageToText",
    "Inversion",
    "LinearClassifier",
    "batch_hard_triplet",
    "circle",
    "cross_entropy",
    "supcon",
    "valid_anchors",
]

Loss = Callable[[Tensor, Tensor], Tensor]


def _without_weights(loss: Callable[..., Tensor]) -> Callable[..., Loss]:
    """The constructor of a loss that learns nothing and needs neither the width nor the number of classes."""

    def make(dim: int, classes: int, **options: Any) -> Loss:
        return partial(loss, **options)

    return make


LOSSES: dict[str, Callable[..., Loss]] = {
    "ce": LinearClassifier,
    "triplet": _without_weights(batch_hard_triplet),
    "center": CenterLoss,
    "arcface": ArcFace,
    "cosface": CosFace,
    "supcon": _without_weights(supcon),
    "facenet": FaceNet,
    "circle": _without_weights(circle),
    "i2t": ImageToText,
    "inversion": Inversion,
}
