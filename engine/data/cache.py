"""Decode once: the images of a run as one uint8 array, resized to a square, kept in a memory-mapped file.

The file's name is a hash of what it was made from (each image's path, size and time of change, the target size, the
way of resizing), so a changed source makes a new file, and any number of runs may share or build one at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from engine.contract.errors import UserError
from engine.data.catalog import Image, tolerate

RESIZING = "bicubic-1"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Pixels:
    """`array` [N, S, S, 3] uint8 in the order asked for; `bad` names the images that could not be decoded."""

    array: np.ndarray
    bad: tuple[str, ...]


def load_pixels(
    root: Path, images: Sequence[Image], size: int, cache: Path, progress: Progress | None = None
) -> Pixels:
    """The images of a data set at `size` x `size` pixels, from the cache or decoded into it on all cores.

    Raises UserError where more than 1 % of the images cannot be decoded, or the cache cannot be written.
    """
    folder = cache / "pixels"
    name = _name(root, images, size)
    array, facts = folder / f"{name}.npy", folder / f"{name}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be decoding the same images
            if not _complete(array, facts, (len(images), size, size, 3)):
                _decode_all(root, images, size, array, facts, progress)
    except OSError as error:
        raise UserError(
            f"The decoded images cannot be kept in {folder} ({error.strerror}). Name another place with HANDREID_CACHE."
        ) from error
    bad = tuple(json.loads(facts.read_text())["bad"])
    if bad:
        what = f"{len(bad)} of {len(images)} images in {root} cannot be decoded, the first is {bad[0]}."
        tolerate(len(bad), len(images), what, "Replace them, or remove them from the data set.")
    return Pixels(np.load(array, mmap_mode="r"), bad)


def _name(root: Path, images: Sequence[Image], size: int) -> str:
    digest = hashlib.sha256(f"{RESIZING}/{size}/{root.resolve()}".encode())
    for image in images:
        stat = (root / image.path).stat()
        digest.update(f"\n{image.path}/{stat.st_size}/{stat.st_mtime_ns}".encode())
    return digest.hexdigest()[:20]


def _complete(array: Path, facts: Path, shape: tuple[int, ...]) -> bool:
    try:
        json.loads(facts.read_text())
        return bool(np.load(array, mmap_mode="r").shape == shape)
    except (OSError, ValueError):
        return False


def _decode_all(
    root: Path, images: Sequence[Image], size: int, array: Path, facts: Path, progress: Progress | None
) -> None:
    unfinished = array.with_suffix(f".{os.getpid()}.tmp")
    shape = (len(images), size, size, 3)
    try:
        pixels = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=shape)
        bad = []
        # Pillow decodes and resizes outside the interpreter lock: threads use every core
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            decoded = pool.map(lambda image: decode(root / image.path, size), images)
            for row, (image, one) in enumerate(zip(images, decoded, strict=True)):
                if one is None:
                    bad.append(image.name)
                else:
                    pixels[row] = one
                if progress:
                    progress(row + 1, len(images))
        pixels.flush()
        unfinished.replace(array)
        facts.write_text(json.dumps({"bad": bad, "size": size, "resizing": RESIZING}))
    finally:
        unfinished.unlink(missing_ok=True)


def decode(path: Path, size: int) -> np.ndarray | None:
    """One image file as [size, size, 3] uint8 RGB, the aspect ratio given up as the field does; None if damaged."""
    try:
        with PillowImage.open(path) as image:
            image.draft("RGB", (2 * size, 2 * size))  # JPEG decodes at the next larger eighth: 4x faster
            return np.asarray(image.convert("RGB").resize((size, size), PillowImage.Resampling.BICUBIC, reducing_gap=3))
    except (OSError, ValueError, SyntaxError, PillowImage.DecompressionBombError):
        return None
