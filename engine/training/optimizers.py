"""Parameter groups: the encoder, the heads at a rate of their own, and the centers with an SGD of their own."""

from __future__ import annotations

import torch
from torch import nn

from engine.contract.config import TrainConfig
from engine.losses.objective import Objective
from engine.model.reid_model import ReIDModel


def build_optimizers(config: TrainConfig, model: ReIDModel, objective: Objective) -> list[torch.optim.Optimizer]:
    """The main optimizer, and a second one for the centers where there are any.

    Each group holds its full rate as `base_lr`; `set_rates` scales it. Biases, norms, embeddings and class weights of
    one dimension decay nothing.
    """
    encoder = [weight for weight in model.encoder.parameters() if weight.requires_grad]
    heads = [weight for weight in model.necks.parameters() if weight.requires_grad] + objective.heads()
    groups = [
        group
        for weights, rate in ((encoder, config.lr), (heads, config.head_lr))
        for group in (
            _group([weight for weight in weights if weight.dim() > 1], rate, config.weight_decay),
            _group([weight for weight in weights if weight.dim() <= 1], rate, 0.0),
        )
        if group["params"]
    ]
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    optimizers: list[torch.optim.Optimizer] = [kind(groups, fused=True)]
    if centers := objective.centers():
        optimizers.append(torch.optim.SGD([_group(centers, objective.center_lr, 0.0)]))
    return optimizers


def _group(weights: list[nn.Parameter], rate: float, decay: float) -> dict:
    return {"params": weights, "lr": rate, "base_lr": rate, "weight_decay": decay}


def set_rates(optimizers: list[torch.optim.Optimizer], factor: float) -> float:
    """Set each group's rate for the coming step; the centers keep theirs. Returns the encoder's rate."""
    for group in optimizers[0].param_groups:
        group["lr"] = group["base_lr"] * factor
    return float(optimizers[0].param_groups[0]["lr"])
