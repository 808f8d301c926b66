"""Trains the start: a supervised contrastive loss on endless identities, first on small images, then on larger ones.

The loss is that of Khosla et al. 2020; small images first, as their steps are cheap (Touvron et al. 2019, "Fixing the
train-test resolution discrepancy").
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.contract.models import START_MODEL
from engine.contract.start import StartRecipe
from engine.losses.supcon import supcon
from engine.machine.device import Device
from engine.machine.randomness import derived_seed
from engine.model.encoder import ImageEncoder
from engine.model.pretrained import POSITIONS, resize_positions
from engine.model.towers import build_visual, own_settings
from engine.start.hands import Heard
from engine.start.views import Views

MEAN, STD = 0.5, 0.25  # of the encoder's images
WARM_UP = 50  # steps
CLIP_NORM = 5.0


def pretrain(images: np.ndarray, recipe: StartRecipe, device: Device, heard: Heard) -> tuple[dict[str, Tensor], Any]:
    """The weights under open_clip's names, and what a checkpoint says of the model (`ReIDModel.record`)."""
    torch.manual_seed(derived_seed(recipe.seed, "start"))
    settings = own_settings(START_MODEL)
    views, weights = Views(images, recipe), dict[str, Tensor]()
    cost = [size * size for size in recipe.sizes]
    total = sum(steps * each for steps, each in zip(recipe.steps, cost, strict=True))
    done = 0
    with ThreadPoolExecutor(1) as ahead:  # the next batch is made on another core
        for stage, (size, steps) in enumerate(zip(recipe.sizes, recipe.steps, strict=True)):
            encoder = _encoder(settings, size, weights).to(device.torch).to(memory_format=torch.channels_last)
            optimizer = _optimizer(encoder, recipe)
            upcoming = ahead.submit(views.batch, stage, 0)
            for step in range(steps):
                share = done / total
                for group in optimizer.param_groups:
                    group["lr"] = recipe.lr * min(1, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * share)) / 2
                pixels, identities = upcoming.result()
                upcoming = ahead.submit(views.batch, stage, step + 1)
                pixels = ((pixels - MEAN) / STD).to(device.torch, memory_format=torch.channels_last)
                identities = identities.to(device.torch)
                with device.precision():
                    features = encoder(pixels)
                loss = torch.stack([supcon(each.float(), identities, recipe.temperature) for each in features]).mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(encoder.parameters(), CLIP_NORM)
                optimizer.step()
                done += cost[stage]
                heard(done / total)
            weights = {name: value.detach().cpu() for name, value in encoder.open_clip_state().items()}
    record = {
        "name": START_MODEL,
        "image_size": recipe.sizes[-1],
        "mean": [MEAN] * 3,
        "std": [STD] * 3,
        "quick_gelu": False,
        "open_clip": settings,
    }
    return weights, record


def _encoder(settings: dict[str, Any], size: int, weights: dict[str, Tensor]) -> ImageEncoder:
    """The encoder at a stage's size, with the weights of the stage before; its positions are resized."""
    visual = build_visual(settings, False, size)
    if weights:
        state = {name.removeprefix("visual."): value for name, value in weights.items()}
        for name in state.keys() & set(POSITIONS):
            state[name] = resize_positions(state[name], len(visual.state_dict()[name]), Path(START_MODEL))
        visual.load_state_dict(state)
    if hasattr(visual, "output_tokens"):
        visual.output_tokens = False
    return ImageEncoder(visual).train()


def _optimizer(encoder: nn.Module, recipe: StartRecipe) -> torch.optim.Optimizer:
    matrices = [weight for weight in encoder.parameters() if weight.dim() > 1]
    others = [weight for weight in encoder.parameters() if weight.dim() <= 1]
    decayed = {"params": matrices, "weight_decay": recipe.weight_decay}
    return torch.optim.AdamW([decayed, {"params": others, "weight_decay": 0.0}], recipe.lr)
