"""Losses compute in float32 at least: half-precision features are widened, and autocast is off inside."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def widen(x: Tensor) -> Tensor:
    """`x` in float32 where it is bfloat16 or float16; float32 and float64 stay as they are."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def no_autocast(x: Tensor) -> AbstractContextManager[object]:
    """A context in which autocast leaves operations on the device of `x` in the dtype of their inputs."""
    kind = x.device.type
    if not torch.is_autocast_enabled(kind):  # entering one takes as long as a small loss
        return nullcontext()
    return torch.autocast(kind, enabled=False)
