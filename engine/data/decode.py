"""One decoder for training, evaluation, screens and reports: a picture file as upright 8-bit RGB, or a reason why not.

Orientation (EXIF, XMP, TIFF) is applied. Transparent parts are laid on white. Deep pictures (16-bit, 32-bit, floating
point) are scaled by `deep_pixels`. Colour profiles are not applied. What cannot be decoded rightly raises
`Undecodable`; nothing is guessed. Imports neither torch nor, before a deep picture, numpy.
"""

from __future__ import annotations

import os
import stat
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

from PIL import Image as Pillow
from PIL import TiffImagePlugin, UnidentifiedImageError

from engine.data.deep_pixels import Depth, Undecodable, has_deep_channels, is_deep, reduce_depth, unused_high_bits

__all__ = ["VERSION", "Picture", "Undecodable", "read_inside", "read_picture"]

VERSION = 2  # raise it with every change of the pixels: it is part of the cache's key

# Opened whatever a file's name says. Other formats of Pillow would start programs (EPS), or are no photos.
FORMATS = ("JPEG", "MPO", "PNG", "TIFF", "WEBP", "BMP", "DIB", "GIF", "JPEG2000", "PPM", "HEIF", "AVIF")
BACKGROUND = (255, 255, 255)  # behind transparent parts: the background of 11k Hands
LARGEST = 1 << 28  # pixels to decode, after a JPEG's reduction; 200-megapixel phones stay below
LARGE = 50_000_000  # pixels; such pictures are decoded one at a time, to bound the memory
HEIC_WAY_OUT = "HEIC needs pillow-heif: pip install 'handreid[heic]'"
NOTHING_ASSUMED: Mapping[str, int] = {}

_one_large = threading.Lock()


@dataclass(frozen=True)
class Picture:
    """A decoded file: `image` is upright RGB. `assumed`: the depth of a deep picture that declares none, else None."""

    image: Pillow.Image
    assumed: Depth | None = None


def read_picture(path: Path, side: int, least_depth: Mapping[str, int] = NOTHING_ASSUMED) -> Picture:
    """Decode `path`. A JPEG is reduced while decoding, to `2 * side` pixels a side or more.

    `least_depth`: see `deep_pixels.reduce_depth`. Raises Undecodable with the reason.
    """
    try:
        with _regular_file(path) as file, _open(file) as image:
            image.draft("RGB", (2 * side, 2 * side))
            width, height = image.size
            if width * height > LARGEST:
                raise Undecodable(f"{width} x {height} pixels are more than can be decoded")
            with _one_large if width * height > LARGE else nullcontext():
                deep_channels = has_deep_channels(image)
                image.load()
                return _to_rgb(image, least_depth, deep_channels)
    except Undecodable:
        raise
    except OSError as error:
        raise Undecodable(error.strerror.lower() if error.strerror else str(error)) from error
    except Exception as error:  # Pillow raises many kinds on damaged files
        raise Undecodable(str(error) or type(error).__name__) from error


def read_inside(root: Path, path: str, side: int) -> Pillow.Image:
    """Decode a picture that a run directory names, which may come from someone else.

    `path` must be relative and stay inside `root`, links followed. Raises Undecodable.
    """
    try:
        place = (root / path).resolve()
        inside = place.is_relative_to(root.resolve())
    except (OSError, ValueError, RuntimeError):
        inside = False
    if not inside:
        raise Undecodable(f"the path leads out of {root}")
    return read_picture(place, side).image


@contextmanager
def _regular_file(path: Path) -> Iterator[BinaryIO]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # waits for no pipe
    with open(descriptor, "rb") as file:  # noqa: PTH123 (a descriptor has no path)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Undecodable("not a regular file")
        yield file


def _open(file: BinaryIO) -> Pillow.Image:
    head = file.read(64)
    file.seek(0)
    if not head:
        raise Undecodable("the file is empty")
    if head.startswith(b"version https://git-lfs"):
        raise Undecodable("a Git LFS pointer, not the picture: run `git lfs pull`")
    try:
        return Pillow.open(file, formats=_formats())
    except UnidentifiedImageError:
        if _is_heic(head) and not reads_heic():
            raise Undecodable(HEIC_WAY_OUT) from None
        raise Undecodable("not a picture of a known format") from None


def lacks_reader(path: Path) -> bool:
    """Whether `path` is a HEIC picture and pillow-heif is not installed."""
    if reads_heic():
        return False
    try:
        with _regular_file(path) as file:
            return _is_heic(file.read(12))
    except (OSError, Undecodable):
        return False


def _is_heic(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] != b"avif"


@cache
def _formats() -> tuple[str, ...]:
    warnings.filterwarnings("ignore", module=r"PIL\.")  # about damaged metadata; damage that matters raises
    reads_heic()
    Pillow.init()
    Pillow.MAX_IMAGE_PIXELS = None  # LARGEST takes its place, after a JPEG's reduction
    TiffImagePlugin.READ_LIBTIFF = (
        True  # Pillow's own reader scrambles uncompressed TIFFs that are turned by 90 degrees
    )
    return tuple(name for name in FORMATS if name in Pillow.OPEN)


@cache
def reads_heic() -> bool:
    """Whether pillow-heif is installed; if so, Pillow opens HEIC from then on."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _to_rgb(image: Pillow.Image, least_depth: Mapping[str, int], deep_channels: bool) -> Picture:
    turn = _orientation(image)
    if is_deep(image):
        grey, assumed = reduce_depth(image, least_depth)
        return Picture(_upright(grey, turn).convert("RGB"), assumed)
    colour = _on_background(image)
    if deep_channels and (unused := unused_high_bits(colour)):
        raise Undecodable(f"16 bits a channel, of which the upper {unused} are unused")
    return Picture(_upright(colour, turn))


def _orientation(image: Pillow.Image) -> int:
    """The orientation still to be applied to a loaded image, 1 to 8 as EXIF counts; TIFFs were turned while loading."""
    try:
        found = image.getexif().get(0x0112, 1)
    except Exception:  # EXIF is damaged in many ways; every viewer shows such a picture as it is stored
        return 1
    return found if isinstance(found, int) else 1


def _upright(image: Pillow.Image, orientation: int) -> Pillow.Image:
    turn = Pillow.Transpose
    methods = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_270,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_90,
    }
    return image.transpose(methods[orientation]) if orientation in methods else image


def _on_background(image: Pillow.Image) -> Pillow.Image:
    if image.mode == "La":
        image = image.convert("LA")
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    image = image.convert("RGBA")
    under = Pillow.new("RGB", image.size, BACKGROUND)
    under.paste(image, mask=image.getchannel("A"))
    return under
