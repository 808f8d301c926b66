"""The losses of the table, a file each. All take features [B, D] or logits [B, C] and integer identities [B]."""

from engine.losses.arcface import ArcFace
from engine.losses.center import CenterLoss
from engine.losses.circle import circle
from engine.losses.cosface import CosFace
from engine.losses.cross_entropy import cross_entropy
from engine.losses.pairs import valid_anchors
from engine.losses.supcon import supcon
from engine.losses.triplet import batch_hard_triplet

__all__ = [
    "ArcFace",
    "CenterLoss",
    "CosFace",
    "batch_hard_triplet",
    "circle",
    "cross_entropy",
    "supcon",
    "valid_anchors",
]
