"""Random augmentation of a whole batch at once, on the device that trains, with parameters drawn for each image.

The distributions are those of the per-sample transforms of the field; the draws come from a generator of the step, so
a batch is the same on every device and after a resume.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.contract.config import AugmentConfig
from engine.machine.device import send

GREY = (0.2989, 0.587, 0.114)  # of red, green and blue in the grey image, as torchvision weighs them


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
        config, (count, size) = self.config, images.shape[:2]
        images = shift_and_flip(images, config.pad, config.flip, random)
        if config.rotate or config.zoom:
            images = _turn(images.permute(0, 3, 1, 2).float(), config.rotate, config.zoom, random).permute(0, 2, 3, 1)
        if config.jitter:
            images = change_light(images.float(), config.jitter, random)
        floats = self._normalise(images)
        if config.erase:
            boxes = send(erased_boxes(count, size, config.erase, random), images.device)
            floats = torch.where(inside(boxes, size)[:, None], 0.0, floats)  # which keeps the memory channels-last
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
    rows, columns = send(torch.stack([rows, columns]), images.device)
    each = torch.arange(count, device=images.device)
    return images[each[:, None, None], rows[:, :, None], columns[:, None, :]]


def erased_boxes(count: int, size: int, chance: float, random: torch.Generator) -> Tensor:
    """The box to erase of each image, [count, 4]: top, bottom, left, right in pixels, bottom and right outside it.

    Zhong et al. 2020: area 2-40 %, ratio 0.3-3.3, with chance `chance`; else an empty box.
    """
    area = size * size * torch.empty(count).uniform_(0.02, 0.4, generator=random)
    ratio = torch.empty(count).uniform_(math.log(0.3), math.log(3.3), generator=random).exp()
    height = (area * ratio).sqrt().round().clamp(1, size)
    width = (area / ratio).sqrt().round().clamp(1, size)
    top = (torch.rand(count, generator=random) * (size - height + 1)).floor()
    left = (torch.rand(count, generator=random) * (size - width + 1)).floor()
    erased = torch.rand(count, generator=random) < chance
    return torch.stack([top, top + height * erased, left, left + width], dim=1)


def inside(boxes: Tensor, size: int) -> Tensor:
    """Masks [B, size, size], true inside of `boxes` [B, 4] as `erased_boxes` gives them."""
    top, bottom, left, right = boxes[:, :, None].unbind(1)
    positions = torch.arange(size, device=boxes.device)
    rows = (positions >= top) & (positions < bottom)
    columns = (positions >= left) & (positions < right)
    return rows[:, :, None] & columns[:, None, :]


def _turn(images: Tensor, rotate: float, zoom: float, random: torch.Generator) -> Tensor:
    count = len(images)
    angle = torch.empty(count).uniform_(-rotate, rotate, generator=random).deg2rad()
    scale = torch.empty(count).uniform_(1 - zoom, 1 + zoom, generator=random)
    cos, sin, zero = angle.cos() / scale, angle.sin() / scale, torch.zeros(count)
    affine = torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).view(count, 2, 3)
    grid = F.affine_grid(send(affine, images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def change_light(images: Tensor, most: float, random: torch.Generator) -> Tensor:
    """Change contrast and brightness of `images` [B, S, S, 3] in 0 … 255, each by a factor of 1 - `most` … 1 + `most`.

    As torchvision's ColorJitter: contrast around the mean of the grey image, brightness as a factor, then clipped.
    """
    contrast = torch.empty((len(images), 1, 1, 1)).uniform_(1 - most, 1 + most, generator=random)
    brightness = torch.empty((len(images), 1, 1, 1)).uniform_(1 - most, 1 + most, generator=random)
    contrast, brightness = send(torch.stack([contrast, brightness]), images.device)
    middle = (images @ images.new_tensor(GREY)).mean(dim=(1, 2))[:, None, None, None]
    jittered: Tensor = (((images - middle) * contrast + middle).clamp(0, 255) * brightness).clamp(0, 255)
    return jittered
