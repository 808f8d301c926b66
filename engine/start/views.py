"""Random views of drawn hands, a batch at once: what one identity shares, and what differs between its images.

An identity of a batch is a drawn hand, mirrored by chance, with proportions, shape and skin tone of its own, so that
hardly any identity comes twice. Its images differ in place, turn, size, pose, light and sharpness.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.contract.start import StartRecipe
from engine.machine.randomness import derived_seed

# Spread of what differs between the images of an identity. Lengths are fractions of half the image's side.
TURN = math.radians(12)
ZOOM = 0.2
SHIFT = 0.16
BEND = 0.02  # of a smooth warp, for poses
GAIN = 0.10
CAST = 0.04
CONTRAST = 0.15
COARSE = 0.3  # share of batches at a lower resolution
# Spread of what an identity has of its own
NARROW = 0.3  # photos of 4:3 that are made square narrow the hand
SHAPE = 0.03  # of a smooth warp
TONE = 0.06


class Views:
    """`images` [N, K, S, S, 3] uint8 are the drawn hands."""

    def __init__(self, images: np.ndarray, recipe: StartRecipe) -> None:
        self.images, self.recipe = images, recipe

    def batch(self, stage: int, step: int) -> tuple[Tensor, Tensor]:
        """Images [P * K, 3, S, S] in [0, 1] at the stage's size, and their identities [P * K]."""
        recipe, size = self.recipe, self.recipe.sizes[stage]
        count, each = recipe.ids_per_batch, recipe.images_per_id
        random = np.random.default_rng(derived_seed(recipe.seed, "views", stage, step))
        chosen = random.choice(len(self.images), count, replace=False)
        which = np.stack([random.choice(recipe.images, each, replace=False) for _ in range(count)])
        drawn = self.images[chosen[:, None], which].reshape(count * each, *self.images.shape[2:])
        images = torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255
        images = F.grid_sample(images, _grid(random, count, each, size), padding_mode="border", align_corners=False)
        images = _light(random, count, each, images)
        if random.random() < COARSE:
            coarse = int(size * random.uniform(0.45, 0.9))
            images = F.interpolate(images, size=(coarse, coarse), mode="bilinear", antialias=True)
            images = F.interpolate(images, size=(size, size), mode="bilinear").clamp(0, 1)
        return images, torch.arange(count).repeat_interleave(each)


def _normal(random: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(random.standard_normal(shape, np.float32))


def _uniform(random: np.random.Generator, *shape: int) -> Tensor:
    """In [-1, 1]."""
    return torch.from_numpy(random.random(shape, np.float32) * 2 - 1)


def _grid(random: np.random.Generator, count: int, each: int, size: int) -> Tensor:
    """Where each pixel of each image is taken from, [P * K, size, size, 2] in [-1, 1]."""
    total = count * each
    turn, zoom = _normal(random, total) * TURN, (_uniform(random, total) * ZOOM).exp()
    own = 1 + (_uniform(random, count) + 1) / 2 * NARROW + 0.03 * _normal(random, count)
    own = own * torch.from_numpy(random.choice(np.array([-1, 1], np.float32), count))
    across = own.repeat_interleave(each) * (1 + 0.02 * _normal(random, total))
    cos, sin = turn.cos() / zoom, turn.sin() / zoom
    right, down = _uniform(random, 2, total) * SHIFT
    affine = torch.stack([cos * across, -sin, right, sin * across, cos, down], dim=1).view(total, 2, 3)
    grid = F.affine_grid(affine, [total, 3, size, size], align_corners=False)
    shape = (_normal(random, count, 2, 5, 5) * SHAPE).repeat_interleave(each, 0)  # lies on the hand, not in the image
    grid = grid + F.grid_sample(shape, grid, padding_mode="border", align_corners=True).permute(0, 2, 3, 1)
    bend = F.interpolate(_normal(random, total, 2, 4, 4) * BEND, size=(size, size), mode="bicubic", align_corners=True)
    return grid + bend.permute(0, 2, 3, 1)


def _light(random: np.random.Generator, count: int, each: int, images: Tensor) -> Tensor:
    total = count * each
    tone = (_normal(random, count, 1, 1, 1) * TONE + _normal(random, count, 3, 1, 1) * (TONE / 2)).exp()
    light = (_normal(random, total, 1, 1, 1) * GAIN + _normal(random, total, 3, 1, 1) * CAST).exp()
    images = (images * (tone.repeat_interleave(each, 0) * light)).clamp(0, 1)
    middle = images.mean(dim=(2, 3), keepdim=True)
    return ((images - middle) * (_normal(random, total, 1, 1, 1) * CONTRAST).exp() + middle).clamp(0, 1)
