"""PK batches: K images of each of P identities (Hermans et al. 2017, section 2), a pure function of seed and step."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.data.split import steps_per_epoch
from engine.machine.randomness import generator


class PKSampler:
    """Draws batches of `ids_per_batch` (P) identities with `images_per_id` (K) images each.

    Identities go round in a new random order each round, so that all come up equally often; where P does not divide
    their number, a round leaves out the remainder. The K images of an identity are distinct where it has K of them;
    an identity with fewer gives each of its images before any comes twice.
    """

    def __init__(self, target: Tensor, ids_per_batch: int, images_per_id: int, seed: int) -> None:
        """`target` [N] holds the class of each training image, 0 … C-1, every class at least once."""
        self.images = [torch.nonzero(target == each).flatten() for each in range(int(target.max()) + 1)]
        self.ids_per_batch, self.images_per_id, self.seed = ids_per_batch, images_per_id, seed
        self.batches_per_round = len(self.images) // ids_per_batch
        self.steps_per_epoch = steps_per_epoch(len(target), ids_per_batch, images_per_id)

    def batch(self, step: int) -> Tensor:
        """Positions [P * K] of the training images that make up the batch of `step`, identity by identity."""
        turn, place = divmod(step, self.batches_per_round)
        order = torch.randperm(len(self.images), generator=generator(self.seed, "identities", turn))
        chosen = order[place * self.ids_per_batch : (place + 1) * self.ids_per_batch]
        random = generator(self.seed, "images", step)
        return torch.cat([self._draw(self.images[identity], random) for identity in chosen.tolist()])

    def _draw(self, images: Tensor, random: torch.Generator) -> Tensor:
        turns = -(-self.images_per_id // len(images))
        order = torch.cat([torch.randperm(len(images), generator=random) for _ in range(turns)])
        return images[order[: self.images_per_id]]
