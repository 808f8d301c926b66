"""Every random choice is a pure function of the run's seed and what the choice is for.

So a resumed run needs no generator state: step 1,000 draws the same batch whether the run was interrupted or not.
"""

from __future__ import annotations

import hashlib

import torch


def derived_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed from `seed` and `purpose`, the same on every machine."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU generator for one purpose. Drawing on the CPU gives the same values whatever device trains."""
    return torch.Generator().manual_seed(derived_seed(seed, *purpose))
