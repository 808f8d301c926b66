"""Settings with a fixed set of values, in one place for configuration, command line and screens. No pydantic here."""

from __future__ import annotations

from typing import Literal, get_args

DataFormat = Literal["auto", "11k", "hd", "prepared", "folder"]
Gallery = Literal["all", "own"]
Aspect = Literal["dorsal-right", "dorsal-left", "palmar-right", "palmar-left"]
Subset = Literal["auto", "dorsal-right", "dorsal-left", "palmar-right", "palmar-left", "all"]

ASPECTS: tuple[str, ...] = get_args(Aspect)
