"""Every random choice of a split: a pure function of the split seed and of what is chosen, the same on any machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from engine.data.catalog import Image


def draw(images: list[Image], seed: int, purpose: str, trial: int, identity: str) -> Image:
    """One of `images`, which must be sorted by name."""
    return images[_number(seed, purpose, trial, identity) % len(images)]


def half(seed: int, names: Iterable[str]) -> frozenset[str]:
    """Half of the identities, the larger half if their number is odd."""
    order = sorted(names, key=lambda name: (_number(seed, "train", 0, name), name))
    return frozenset(order[: (len(order) + 1) // 2])


def shuffled(names: Iterable[str], seed: int, purpose: str) -> list[str]:
    """All of `names`, in an order of the seed's."""
    return sorted(names, key=lambda name: (_number(seed, purpose, 0, name), name))


def _number(seed: int, purpose: str, trial: int, identity: str) -> int:
    key = f"{seed}\0{purpose}\0{trial}\0{identity}".encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(key).digest())
