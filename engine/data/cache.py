"""Decode once: the images of a run as one uint8 array, resized to a square, kept in a memory-mapped file.

The file's name is a hash of what it was made from (each image's path, size and time of change, the target size and
filter, the version of the decoder), so a changed source makes a new file, and any number of runs may share or build
one at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from engine.contract.choices import Interpolation
from engine.contract.errors import UserError
from engine.data.catalog import Image, tolerate
from engine.data.decode import NOTHING_ASSUMED, VERSION, Undecodable, read_picture
from engine.data.deep_pixels import UNIT, Depth
from engine.data.duplicates import THUMBNAIL
from engine.data.wording import count

RESIZING = 1  # raise it with every change of the resizing
FILTERS = {"bicubic": Pillow.Resampling.BICUBIC, "bilinear": Pillow.Resampling.BILINEAR}

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Pixels:
    """`array` [N, S, S, 3] uint8 in the order asked for, `thumbnails` [N, T, T] uint8 grey.

    `bad`: names of the images that could not be decoded, with the reason. `notes`: what a user should know besides.
    """

    array: np.ndarray
    thumbnails: np.ndarray
    bad: dict[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Square:
    """One decoded image: `pixels` [S, S, 3] and `thumbnail` [T, T], uint8; `assumed`: see `decode.Picture`."""

    pixels: np.ndarray
    thumbnail: np.ndarray
    assumed: Depth | None


@dataclass(frozen=True)
class Resize:
    """To a square of `size` pixels a side, with an antialiased filter."""

    size: int
    filter: Interpolation = "bicubic"

    def __str__(self) -> str:
        return f"{self.filter}-{RESIZING}"


def load_pixels(
    root: Path, images: Sequence[Image], to: Resize, cache: Path, progress: Progress | None = None
) -> Pixels:
    """The images of a data set as squares, from the cache or decoded into it on all cores.

    Raises UserError where more than 1 % of the images cannot be decoded, or the cache cannot be written.
    """
    folder = cache / "pixels"
    try:
        name = _name(root, images, to)
    except OSError as error:
        raise UserError(f"{error.filename} can no longer be read ({error.strerror}): check the data set.") from error
    files = _Files(folder, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be decoding the same images
            facts = _usable_facts(files, root, images, to)
            if facts is None:
                facts = _decode_all(root, images, to, files, progress)
    except OSError as error:
        raise UserError(
            f"The decoded images cannot be stored in {folder} ({error.strerror}). Set another one with HANDREID_CACHE."
        ) from error
    bad: dict[str, str] = facts["bad"]
    if bad:
        name, reason = next(iter(bad.items()))
        what = f"{len(bad)} of {count(len(images), 'image')} in {root} cannot be decoded, first {name} ({reason})."
        tolerate(len(bad), len(images), what, "Replace them, or remove them from the data set.")
    array, thumbnails = (np.load(path, mmap_mode="r") for path in (files.array, files.thumbnails))
    return Pixels(array, thumbnails, bad, tuple(depth_notes(facts["assumed"], len(images))))


@dataclass(frozen=True)
class _Files:
    folder: Path
    name: str

    @property
    def array(self) -> Path:
        return self.folder / f"{self.name}.npy"

    @property
    def thumbnails(self) -> Path:
        return self.folder / f"{self.name}.thumbnails"

    @property
    def facts(self) -> Path:
        return self.folder / f"{self.name}.json"


def _name(root: Path, images: Sequence[Image], to: Resize) -> str:
    digest = hashlib.sha256(_bytes(f"{to}/{VERSION}/{THUMBNAIL}/{to.size}/{root.resolve()}"))
    for image in images:
        stat = (root / image.path).stat()
        digest.update(_bytes(f"\n{image.path}/{stat.st_size}/{stat.st_mtime_ns}"))
    return digest.hexdigest()[:20]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # a file's name may be no UTF-8


def _usable_facts(files: _Files, root: Path, images: Sequence[Image], to: Resize) -> dict[str, Any] | None:
    """What was noted of a complete cache, None where it is not complete, or an image can be decoded now."""
    try:
        facts: dict[str, Any] = json.loads(files.facts.read_text())
        whole = np.load(files.array, mmap_mode="r").shape == (len(images), to.size, to.size, 3)
        whole = whole and np.load(files.thumbnails, mmap_mode="r").shape == (len(images), THUMBNAIL, THUMBNAIL)
    except (OSError, ValueError):
        return None
    if not whole or not isinstance(facts, dict) or not {"bad", "assumed"} <= facts.keys():
        return None
    for image in images if facts["bad"] else ():
        if image.name in facts["bad"]:
            with suppress(Undecodable):
                decode(root / image.path, to)
                return None
    return facts


def _decode_all(
    root: Path, images: Sequence[Image], to: Resize, files: _Files, progress: Progress | None
) -> dict[str, Any]:
    unfinished = files.array.with_suffix(f".{os.getpid()}.tmp")
    try:
        pixels = np.lib.format.open_memmap(
            unfinished, mode="w+", dtype=np.uint8, shape=(len(images), to.size, to.size, 3)
        )
        small = np.zeros((len(images), THUMBNAIL, THUMBNAIL), np.uint8)
        bad: dict[str, str] = {}
        assumed: dict[int, Depth] = {}

        def keep(row: int, one: Square | Undecodable) -> None:
            if isinstance(one, Undecodable):
                bad[images[row].name] = str(one)
                return
            pixels[row], small[row] = one.pixels, one.thumbnail
            if one.assumed:
                assumed[row] = one.assumed

        for row, one in enumerate(_decode_each([root / image.path for image in images], to)):
            keep(row, one)
            if progress:
                progress(row + 1, len(images))
        # One depth for all pictures that declare none: a dark one must not become brighter than the others
        least = {
            kind: max(bits for k, bits in assumed.values() if k == kind) for kind in {k for k, _ in assumed.values()}
        }
        again = [row for row, (kind, bits) in assumed.items() if bits < least[kind]]
        for row, one in zip(again, _decode_each([root / images[row].path for row in again], to, least), strict=True):
            keep(row, one)
        pixels.flush()
        unfinished.replace(files.array)
        with files.thumbnails.open("wb") as file:
            np.save(file, small)
        depths = {kind: [bits, sum(k == kind for k, _ in assumed.values())] for kind, bits in sorted(least.items())}
        facts = {"bad": bad, "assumed": depths, "size": to.size, "resizing": str(to), "decoder": VERSION}
        files.facts.write_text(json.dumps(facts))
        return facts
    finally:
        unfinished.unlink(missing_ok=True)


def _decode_each(
    paths: Sequence[Path], to: Resize, least_depth: Mapping[str, int] = NOTHING_ASSUMED
) -> Iterator[Square | Undecodable]:
    def one(path: Path) -> Square | Undecodable:
        try:
            return decode(path, to, least_depth)
        except Undecodable as reason:
            return reason

    # Pillow decodes and resizes outside the interpreter lock: threads use every core
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(one, paths)


def decode(path: Path, to: Resize, least_depth: Mapping[str, int] = NOTHING_ASSUMED) -> Square:
    """One image file as a square, its aspect ratio given up as the field does.

    `least_depth`: see `decode.read_picture`. Raises Undecodable.
    """
    picture = read_picture(path, to.size, least_depth)
    square = picture.image.resize((to.size, to.size), FILTERS[to.filter], reducing_gap=3)
    small = square.convert("L").resize((THUMBNAIL, THUMBNAIL), Pillow.Resampling.BOX)
    return Square(np.asarray(square), np.asarray(small), picture.assumed)


def depth_notes(assumed: Mapping[str, Sequence[int]], total: int) -> list[str]:
    """Sentences about deep pictures whose range had to be taken from their values: `{kind: (bits, pictures)}`."""
    notes = []
    for kind, (bits, pictures) in assumed.items():
        if (kind, bits) == ("I", 16):
            continue  # all 16 bits are used: nothing was assumed
        values = "floating-point" if kind == "F" else "16- or 32-bit"
        taken = "0 to 1" if bits == UNIT else f"{bits} bits"
        notes.append(
            f"{count(pictures, 'image')} of {total} have {values} values and declare no range: read as {taken}, "
            "the smallest range that contains all of their values."
        )
    return notes
