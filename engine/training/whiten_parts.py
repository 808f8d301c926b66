"""The whitening of parts, from the training images as the untrained encoder sees them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.data.augment import Augmentation
from engine.data.catalog import Split
from engine.machine.device import Device
from engine.model.encoder import ImageEncoder
from engine.model.parts import Parts

MOST = 512  # images: twice the directions that are kept
BATCH = 64


def of_training_people(split: Split) -> tuple[int, ...]:
    """The images of people who are trained on, as positions in the split; those of held-out people are not."""
    return split.train if split.validation else tuple(sorted({*split.train, *split.val}))


@torch.no_grad()
def whiten_parts(
    encoder: ImageEncoder, images: Tensor, places: Sequence[int], augmentation: Augmentation, device: Device
) -> None:
    """Fit the whitening of an encoder with parts to some of the `images` [N, S, S, 3] at `places`, evenly chosen."""
    parts = encoder.branches
    if not isinstance(parts, Parts) or not places:
        return
    every = torch.linspace(0, len(places) - 1, min(MOST, len(places))).long()
    chosen = torch.tensor(places)[every].to(images.device)
    was_training, pooled = encoder.training, []
    encoder.eval()
    for places in chosen.split(BATCH):
        batch = augmentation.plain(images[places].to(device.torch))
        with device.precision():
            encoder.trunk(batch)
        pooled.append([each.float() for each in parts.pooled()])
    encoder.train(was_training)
    parts.fit(torch.cat(each) for each in zip(*pooled, strict=True))
