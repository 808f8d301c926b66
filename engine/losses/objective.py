"""The loss of a run: its weighted terms on both features of a batch, with the parameters that the terms learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.losses import (
    ArcFace,
    CenterLoss,
    CosFace,
    batch_hard_triplet,
    circle,
    cross_entropy,
    supcon,
)
from engine.model.reid_model import Feature

Options = dict[str, Any]


class Classifier(nn.Module):
    """Cross-entropy on the logits of a bias-free linear classifier (std 1e-3, as BNNeck has it) after the neck."""

    def __init__(self, dim: int, classes: int, smoothing: float) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, classes, bias=False)
        nn.init.normal_(self.linear.weight, std=0.001)
        self.smoothing = smoothing

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(self.linear(features), target, self.smoothing)


@dataclass(frozen=True)
class Place:
    """How a term is made for a feature of `dim` values, and which side of the BN neck it looks at."""

    feature: str
    make: Callable[[int, int, Options], Callable[[Tensor, Tensor], Tensor]]


# Terms that classify look at the feature after the neck, those that compare features at the one before it
# (Luo et al. 2019, section 3.6: the two kinds pull one feature in different directions).
PLACES: dict[str, Place] = {
    "ce": Place("after", lambda dim, classes, o: Classifier(dim, classes, o["smoothing"])),
    "arcface": Place("after", lambda dim, classes, o: ArcFace(dim, classes, o["scale"], o["margin"])),
    "cosface": Place("after", lambda dim, classes, o: CosFace(dim, classes, o["scale"], o["margin"])),
    "triplet": Place("before", lambda dim, classes, o: lambda x, y: batch_hard_triplet(x, y, o["margin"])),
    "center": Place("before", lambda dim, classes, o: CenterLoss(classes, dim)),
    "supcon": Place("before", lambda dim, classes, o: lambda x, y: supcon(x, y, o["temperature"])),
    "circle": Place("before", lambda dim, classes, o: lambda x, y: circle(x, y, o["margin"], o["gamma"])),
}


@dataclass(frozen=True)
class Loss:
    """The loss of one batch: `total` to descend, and each term's own value, unweighted: sum(weight x term) = total."""

    total: Tensor
    terms: dict[str, Tensor]


class Objective(nn.Module):
    """Every term on both features (before and after the projection), averaged over the two, weighted and summed."""

    def __init__(self, loss: dict[str, Options], dims: list[int], classes: int) -> None:
        super().__init__()
        self.weights = {term: float(options["weight"]) for term, options in loss.items()}
        self.center_lr = float(loss["center"]["lr"]) if "center" in loss else 0.0
        self.parts = {term: [PLACES[term].make(dim, classes, o) for dim in dims] for term, o in loss.items()}
        self.learnt = nn.ModuleDict()
        for term, parts in self.parts.items():
            if modules := [part for part in parts if isinstance(part, nn.Module)]:
                self.learnt[term] = nn.ModuleList(modules)

    def forward(self, features: list[Feature], target: Tensor) -> Loss:
        """The loss of a batch: `features` as the model gives them, `target` [B] the class of each image."""
        terms = {}
        for term, parts in self.parts.items():
            side = PLACES[term].feature
            values = [part(getattr(each, side), target) for part, each in zip(parts, features, strict=True)]
            terms[term] = torch.stack(values).mean()
        total = torch.stack([self.weights[term] * value for term, value in terms.items()]).sum()
        return Loss(total, terms)

    def heads(self) -> list[nn.Parameter]:
        """What the terms learn, without the centers: classifiers and margin weights."""
        return [weight for name, weight in self.named_parameters() if "centers" not in name]

    def centers(self) -> list[nn.Parameter]:
        return [weight for name, weight in self.named_parameters() if "centers" in name]

    def unscale_centers(self) -> None:
        """Undo, on the centers' gradients, the term's weight and the mean over features.

        The centers follow their own rate whatever the weight of the term (Wen et al. 2016, algorithm 1).
        """
        centers = self.centers()
        scale = self.weights.get("center", 0.0) / max(len(centers), 1)
        for center in centers:
            if center.grad is not None and scale:
                center.grad.div_(scale)
