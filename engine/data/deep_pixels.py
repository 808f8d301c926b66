"""Pictures with more than 8 bits a value, as infrared, vein and scientific cameras write them, down to 8 bits.

A value of n significant bits keeps its upper 8. How many are significant: what a TIFF declares (bits a sample below
16, or the largest sample value), else the smallest of `DEPTHS` that holds the largest value. Floating point from 0 to
1 is scaled by 255; larger values are treated like whole numbers. A depth that was assumed without a declaration is
returned, so that a caller can use the largest one for all pictures of a data set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from PIL import Image as Pillow

if TYPE_CHECKING:
    import numpy as np

Depth = tuple[str, int]  # kind of number ("I" whole, "F" floating point) and significant bits
DEPTHS = (8, 10, 12, 14, 16, 24, 31, 32)  # that cameras and programs use; 31 is a signed whole number of 32
UNIT = 0  # floating point from 0 to 1, among the depths
BITS_PER_SAMPLE, PHOTOMETRIC, LARGEST_SAMPLE, LARGEST_FLOAT = 258, 262, 281, 341  # tags of TIFF 6.0
WHITE_IS_ZERO = 0


class Undecodable(Exception):
    """Why a file is not used as a picture: a reason that reads well after the file's name."""


def is_deep(image: Pillow.Image) -> bool:
    """Whether `image` has one channel of more than 8 bits."""
    return image.mode.startswith(("I", "F"))


def reduce_depth(image: Pillow.Image, least: Mapping[str, int]) -> tuple[Pillow.Image, Depth | None]:
    """A deep image as 8-bit grey, and the depth where it was assumed.

    `least`: by kind of number, the depth of undeclared pictures where their own values would fit a smaller one.
    Raises Undecodable for negative values, NaN and infinity, whose range cannot be known.
    """
    import numpy as np

    values, kind = np.asarray(image), image.mode[0]
    if values.size == 0 or not np.isfinite(values).all():
        raise Undecodable("NaN or infinite values")
    lowest, largest = float(values.min()), float(values.max())
    if lowest < 0:
        raise Undecodable(f"negative values ({lowest:g} to {largest:g}), whose range is unknown")
    depth, assumed = _declared_bits(image, largest), None
    if depth is None:
        depth = max(_depth_for(largest, kind == "F"), least.get(kind, UNIT))
        assumed = (kind, depth)
    grey = _upper_byte(values, depth)
    if _tag(image, PHOTOMETRIC) == WHITE_IS_ZERO:
        grey = 255 - grey
    return Pillow.fromarray(grey), assumed


def has_deep_channels(image: Pillow.Image) -> bool:
    """Whether the file has more than 8 bits a channel; to be asked before the image is loaded."""
    if image.format == "PNG":
        return any("16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    return isinstance(stored := _tag(image, BITS_PER_SAMPLE), int) and stored > 8


def unused_high_bits(colour: Pillow.Image) -> int:
    """How many upper bits no value of a colour image uses whose file has 16 bits a channel: Pillow keeps the upper 8.

    Two or more make it too dark and too coarse to be decoded rightly; 0 for one, none, and an image that is all black.
    """
    largest = max(int(max(colour.getchannel(band).tobytes(), default=0)) for band in colour.getbands())
    unused = 8 - largest.bit_length()
    return unused if 2 <= unused < 8 else 0


def _depth_for(largest: float, floating: bool) -> int:
    if floating and largest <= 1:
        return UNIT
    depth = next((depth for depth in DEPTHS if largest < 2**depth), None)
    if depth is None:
        raise Undecodable(f"values up to {largest:g}, whose range is unknown")
    return depth


def _upper_byte(values: np.ndarray[Any, Any], depth: int) -> np.ndarray[Any, Any]:
    import numpy as np

    upper: np.ndarray[Any, Any]
    if depth == UNIT:
        upper = np.rint(values * 255)
    elif depth == 8:
        upper = np.rint(values).clip(0, 255)
    else:
        upper = values // 2 ** (depth - 8)
    return upper.astype(np.uint8)


def _declared_bits(image: Pillow.Image, largest: float) -> int | None:
    """The significant bits that a TIFF declares, None where it declares none or contradicts its own values."""
    declared = _tag(image, LARGEST_FLOAT if image.mode == "F" else LARGEST_SAMPLE)
    if isinstance(declared, (int, float)) and largest <= declared:
        if image.mode == "F" and declared == 1:
            return UNIT
        if (bits := round(declared).bit_length()) in DEPTHS and round(declared) == 2**bits - 1 and bits < 16:
            return bits
    stored = _tag(image, BITS_PER_SAMPLE)
    return stored if stored in (10, 12, 14) else None


def _tag(image: Pillow.Image, number: int) -> Any:
    """The first value of a TIFF's tag, None for other formats and where it is missing."""
    value = image.tag_v2.get(number) if hasattr(image, "tag_v2") else None
    return value[0] if isinstance(value, tuple) and value else value
