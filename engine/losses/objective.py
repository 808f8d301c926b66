"""The loss of a run: its weighted terms on both features of a batch, with the parameters that the terms learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from engine.contract.terms import TERMS, Value
from engine.losses import LOSSES, ImageToText
from engine.model.reid_model import Feature
from engine.model.text_tower import PromptEncoder

T = TypeVar("T")


@dataclass(frozen=True)
class BatchLoss:
    """The loss of one batch: `total` to descend, and each term's own value, unweighted: sum(weight x term) = total.

    `watched`: what terms measure beside their loss, as TERM/NAME.
    """

    total: Tensor
    terms: dict[str, Tensor]
    watched: dict[str, Tensor]


class Objective(nn.Module):
    """Every term on both features (before and after the projection), averaged over the two, weighted and summed.

    `loss` holds every term with its weight and options, `dims` the widths of the features. A term that compares images
    with texts looks at the feature at the place `joint` alone; one that gives each image a text reads it with `texts`.
    """

    def __init__(
        self,
        loss: dict[str, dict[str, Value]],
        dims: list[int],
        classes: int,
        texts: PromptEncoder | None = None,
        joint: int = -1,
    ) -> None:
        super().__init__()
        self.joint = joint % max(len(dims), 1)
        self.weights = {term: float(options["weight"]) for term, options in loss.items()}
        self.own_rates = {term: float(loss[term][TERMS[term].own_rate]) for term in loss if TERMS[term].own_rate}
        self.parts: dict[str, list[Any]] = {}  # functions, and modules that learn or watch
        self.learnt = nn.ModuleDict()
        for term, options in loss.items():
            its_own: dict[str, Any] = {
                name: value for name, value in options.items() if name not in ("weight", TERMS[term].own_rate)
            }
            if texts and TERMS[term].texts == "inverted":
                its_own |= {"read": texts.forward, "width": texts.width}
            self.parts[term] = [LOSSES[term](dim, classes, **its_own) for dim in self._seen_by(term, dims)]
            if modules := [part for part in self.parts[term] if isinstance(part, nn.Module)]:
                self.learnt[term] = nn.ModuleList(modules)

    def forward(self, features: list[Feature], target: Tensor) -> BatchLoss:
        """The loss of a batch: `features` as the model gives them, `target` [B] the class of each image."""
        terms, watched = {}, {}
        for term, parts in self.parts.items():
            side = TERMS[term].side
            seen = self._seen_by(term, features)
            values = [part(getattr(each, side), target) for part, each in zip(parts, seen, strict=True)]
            terms[term] = torch.stack(values).mean()
            for name in TERMS[term].watches:
                watched[f"{term}/{name}"] = torch.stack([part.watched[name] for part in parts]).mean()
        total = torch.stack([self.weights[term] * value for term, value in terms.items()]).sum()
        return BatchLoss(total, terms, watched)

    def _seen_by(self, term: str, features: list[T]) -> list[T]:
        """What a term looks at of something of each feature."""
        return [features[self.joint]] if TERMS[term].texts else features

    def learnt_texts(self) -> ImageToText | None:
        """The term that classifies by texts, which a first stage must have learnt; None where there is none."""
        term = next((term for term in self.parts if TERMS[term].texts == "learnt"), None)
        return self.parts[term][0] if term else None

    def parameters_of(self, term: str) -> list[nn.Parameter]:
        return list(self.learnt[term].parameters()) if term in self.learnt else []

    def heads(self) -> list[nn.Parameter]:
        """What the terms learn at the rate of the heads: all but the terms with a rate of their own."""
        return [weight for term in self.learnt if term not in self.own_rates for weight in self.parameters_of(term)]

    def unscale_own(self) -> None:
        """Undo, on the gradients of the terms with a rate of their own, the term's weight and the mean over features.

        Their parameters follow their rate whatever the weight of the term (for centers Wen et al. 2016, algorithm 1).
        """
        for term in self.own_rates:
            scale = self.weights[term] / max(len(self.parts[term]), 1)
            for weight in self.parameters_of(term):
                if weight.grad is not None and scale:
                    weight.grad.div_(scale)
