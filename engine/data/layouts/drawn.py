"""Data sets without a division of their own: half of the identities, drawn by the split seed, is for training."""

from __future__ import annotations

from collections.abc import Sequence

from engine.data.catalog import Image, Subset
from engine.data.seeded_choice import half


def subset_of(images: Sequence[Image], seed: int) -> tuple[Subset, int]:
    """The images divided by identity, and the number of identities."""
    people = {image.identity for image in images}
    train = half(seed, people)
    subset = Subset(
        images=len(images),
        train_all=tuple(sorted(image for image in images if image.identity in train)),
        test=tuple(sorted(image for image in images if image.identity not in train)),
    )
    return subset, len(people)
