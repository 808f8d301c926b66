"""Commands that hold thousands of runs at once, and end soon."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Without Python's search for cycles: with 10,000 runs, walking all that lives again and again is half the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
