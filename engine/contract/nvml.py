"""NVIDIA's management library, opened once for whoever asks. No torch here."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def nvml() -> Any:
    """The module `pynvml`, ready to be asked; None where the driver, or the right to use it, is absent."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # the driver's library may be absent, older than pynvml, or closed to us: all mean no GPU
        return None
    return pynvml
