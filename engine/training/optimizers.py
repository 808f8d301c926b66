"""Parameter groups: the encoder, the heads at a rate of their own, and the terms that have an SGD of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from engine.contract.config import TrainConfig
from engine.contract.errors import UserError
from engine.losses.objective import Objective
from engine.model.depth import depths
from engine.model.encoder import ImageEncoder
from engine.model.reid_model import ReIDModel


@dataclass(frozen=True)
class Optimizers:
    """`main` for encoder and heads, each group with its full rate as `base_lr`; `own` for terms with their own rate."""

    main: torch.optim.Optimizer
    own: dict[str, torch.optim.Optimizer]

    def __iter__(self) -> Iterator[torch.optim.Optimizer]:
        yield self.main
        yield from self.own.values()

    def set_rates(self, factor: float) -> None:
        """Scale the rates of the main optimizer for the coming step; the terms' own rates stay as they are."""
        for group in self.main.param_groups:
            group["lr"] = group["base_lr"] * factor

    def step(self, clip_norm: float) -> None:
        """Clip the gradients of the main optimizer's weights to this norm (0: as they are), step, forget them."""
        if clip_norm:
            weights = [weight for group in self.main.param_groups for weight in group["params"]]
            torch.nn.utils.clip_grad_norm_(weights, clip_norm)
        for optimizer in self:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, Any]]:
        return [optimizer.state_dict() for optimizer in self]

    def load_state(self, states: list[dict[str, Any]]) -> None:
        """The inverse of `state`, of an objective with the same terms. Raises UserError where a state does not fit."""
        for optimizer, state in zip(self, states, strict=True):
            optimizer.load_state_dict(state)
            for weight, kept in optimizer.state.items():  # a fused step would write beyond a smaller state
                if any(value.dim() and value.shape != weight.shape for value in _tensors(kept)):
                    raise UserError(
                        "The checkpoint belongs to a model of another shape: the run cannot be resumed. Train it again."
                    )


def build_optimizers(config: TrainConfig, model: ReIDModel, objective: Objective) -> Optimizers:
    """Adam or AdamW for encoder and heads, a plain SGD for each term with a rate of its own.

    Biases, norms, embeddings and class weights of one dimension decay nothing. With `layer_decay` d the rate of the
    encoder is multiplied by d from each block to the one before it; what comes after the last block has the full rate.
    The attention of branches, which begins at random, is among the heads.
    """
    new = [*model.necks.parameters(), *model.encoder.new_weights().values()]
    heads = [weight for weight in new if weight.requires_grad] + objective.heads()
    groups = [
        group
        for weights, rate in (*_encoder_rates(config, model.encoder), (heads, config.head_lr))
        for group in (
            _group([weight for weight in weights if weight.dim() > 1], rate, config.weight_decay),
            _group([weight for weight in weights if weight.dim() <= 1], rate, 0.0),
        )
        if group["params"]
    ]
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    own: dict[str, torch.optim.Optimizer] = {
        term: torch.optim.SGD([_group(objective.parameters_of(term), rate, 0.0)])
        for term, rate in objective.own_rates.items()
    }
    return Optimizers(kind(groups, fused=True), own)


def _encoder_rates(config: TrainConfig, encoder: ImageEncoder) -> list[tuple[list[nn.Parameter], float]]:
    """The encoder's weights that learn at its rate, and the rate of each part of them."""
    new = encoder.new_weights()
    learning = {name: weight for name, weight in encoder.named_parameters() if weight.requires_grad and name not in new}
    if config.layer_decay == 1:
        return [(list(learning.values()), config.lr)]
    depth = depths(encoder)
    return [
        (
            [weight for name, weight in learning.items() if depth.of[name] == at],
            config.lr * config.layer_decay ** (depth.blocks + 1 - at),
        )
        for at in range(depth.blocks + 2)
    ]


def _tensors(state: dict[str, Any]) -> list[torch.Tensor]:
    return [value for value in state.values() if isinstance(value, torch.Tensor)]


def _group(weights: list[nn.Parameter], rate: float, decay: float) -> dict[str, Any]:
    return {"params": weights, "lr": rate, "base_lr": rate, "weight_decay": decay}
