"""Random augmentation of a whole batch at once, on the device that trains, with parameters drawn for each image.

The distributions are those of the per-sample transforms of the field; the draws come from a generator of the step, so
a batch is the same on every device and after a resume.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.config import AugmentConfig


class Augmentation:
    """Turns uint8 images [B, S, S, 3] into normalised float images [B, 3, S, S]."""

    def __init__(self, config: AugmentConfig, mean: list[float], std: list[float], device: torch.device) -> None:
        self.config = config
        self.mean = torch.tensor(mean, device=device) * 255
        self.std = torch.tensor(std, device=device) * 255

    def plain(self, images: Tensor) -> Tensor:
        """Normalise only: what validation and test see, at the same size as training."""
        return self._normalise(images)

    def random(self, images: Tensor, random: torch.Generator) -> Tensor:
        """Shift, mirror, turn, scale, change the light of, and erase a box from each image, as configured."""
        config, device = self.config, images.device
        count, size = images.shape[:2]
        images = shift_and_flip(images, config.pad, config.flip, random)
        floats = self._normalise(images)
        if config.rotate or config.zoom:
            floats = F.grid_sample(
                floats, _turned_grid(count, size, config, random).to(device), padding_mode="border", align_corners=False
            )
        if config.jitter:
            floats = _change_light(floats, config.jitter, random)
        if config.erase:
            floats = floats.masked_fill(erased_boxes(count, size, config.erase, random).to(device)[:, None], 0.0)
        return floats

    def _normalise(self, images: Tensor) -> Tensor:
        return ((images - self.mean) / self.std).permute(0, 3, 1, 2)  # a view: the memory is channels-last


def shift_and_flip(images: Tensor, pad: int, flip: float, random: torch.Generator) -> Tensor:
    """Shift each of `images` [B, S, S, C] by up to `pad` pixels, edges repeated, and mirror it with chance `flip`."""
    count, size = images.shape[:2]
    positions = torch.arange(size)
    top, left = torch.randint(-pad, pad + 1, (2, count, 1), generator=random)
    rows = (positions + top).clamp(0, size - 1)
    columns = (positions + left).clamp(0, size - 1)
    mirrored = torch.rand((count, 1), generator=random) < flip
    columns = torch.where(mirrored, columns.flip(1), columns)
    device = images.device
    each = torch.arange(count, device=device)
    return images[each[:, None, None], rows.to(device)[:, :, None], columns.to(device)[:, None, :]]


def erased_boxes(count: int, size: int, chance: float, random: torch.Generator) -> Tensor:
    """Masks [count, size, size], true in the box to erase (Zhong et al. 2020: area 2-40 %, ratio 0.3-3.3)."""
    area = size * size * torch.empty(count).uniform_(0.02, 0.4, generator=random)
    ratio = torch.empty(count).uniform_(math.log(0.3), math.log(3.3), generator=random).exp()
    height = (area * ratio).sqrt().round().clamp(1, size)
    width = (area / ratio).sqrt().round().clamp(1, size)
    top = (torch.rand(count, generator=random) * (size - height + 1)).floor()
    left = (torch.rand(count, generator=random) * (size - width + 1)).floor()
    erased = torch.rand(count, generator=random) < chance
    positions = torch.arange(size)
    rows = (positions >= top[:, None]) & (positions < (top + height)[:, None])
    columns = (positions >= left[:, None]) & (positions < (left + width)[:, None])
    return rows[:, :, None] & columns[:, None, :] & erased[:, None, None]


def _turned_grid(count: int, size: int, config: AugmentConfig, random: torch.Generator) -> Tensor:
    angle = torch.empty(count).uniform_(-config.rotate, config.rotate, generator=random).deg2rad()
    scale = torch.empty(count).uniform_(1 - config.zoom, 1 + config.zoom, generator=random)
    cos, sin, zero = angle.cos() / scale, angle.sin() / scale, torch.zeros(count)
    affine = torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).view(count, 2, 3)
    return F.affine_grid(affine, [count, 3, size, size], align_corners=False)


def _change_light(images: Tensor, most: float, random: torch.Generator) -> Tensor:
    count, device = len(images), images.device
    contrast = torch.empty((count, 1, 1, 1)).uniform_(1 - most, 1 + most, generator=random).to(device)
    brightness = torch.empty((count, 1, 1, 1)).uniform_(-most, most, generator=random).to(device)
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - middle) * contrast + middle + brightness
