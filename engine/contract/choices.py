"""Settings with a fixed set of values, in one place for configuration, command line and screens. No pydantic here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from engine.contract.layouts import formats

if TYPE_CHECKING:
    DataFormat = str
else:
    DataFormat = Literal[formats()]
Interpolation = Literal["bicubic", "bilinear"]  # of images: the filter of the resizing, antialiased
Gallery = Literal["all", "own"]
Aspect = Literal["dorsal-right", "dorsal-left", "palmar-right", "palmar-left"]
Subset = Literal["auto", "dorsal-right", "dorsal-left", "palmar-right", "palmar-left", "all"]

ASPECTS: tuple[str, ...] = get_args(Aspect)
