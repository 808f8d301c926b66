"""The same picture twice: copies in training and test, or in query and gallery, make rank-1 mean nothing.

Byte-identical files are found by size and hash. Near-identical ones (saved again, scaled, slightly brighter) are found
by the correlation of 16 x 16 grey thumbnails. Thresholds, in 1 - correlation, from 1,288 real photos of three
resolutions: photos of different identities differ by 0.023 or more, a photo and itself saved again by 0.0005 or less.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.data.catalog import Split
from engine.data.wording import count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

THUMBNAIL = 16  # pixels a side
OTHER_IDENTITY = 0.005  # largest difference of near-identical pictures of two identities
SAME_IDENTITY = 0.0003  # the same within an identity, where real shots in a row differ by 0.0001 or more
FLAT = 2.0  # grey levels of deviation; below, a thumbnail shows nothing that could be compared
ROWS = 1024  # thumbnails compared at once

Pairs = set[tuple[int, int]]  # positions, the smaller one first


def same_bytes(root: Path, paths: Sequence[str]) -> Pairs:
    """Pairs of byte-identical files: each with the first of its content. Only files of equal size are read."""
    groups: list[list[int]] = _grouped(range(len(paths)), lambda place: _size(root / paths[place]))
    for part in (1 << 12, -1):  # most files of equal size differ in their first 4 KiB
        digests = {place: _digest(root / paths[place], part) for group in groups for place in group}
        groups = [finer for group in groups for finer in _grouped(group, digests.__getitem__)]
    return {(group[0], other) for group in groups for other in group[1:]}


def alike(thumbnails: NDArray[np.uint8], identities: Sequence[str]) -> Pairs:
    """Pairs of near-identical images, by thumbnails [N, 16, 16] and the N images' identities."""
    import numpy as np

    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1)
    compared = np.flatnonzero(length > FLAT * THUMBNAIL)
    units = flat[compared] / length[compared, None]
    numbers = np.unique(np.asarray(identities, dtype=object).astype(str), return_inverse=True)[1][compared]
    pairs: Pairs = set()
    for start in range(0, len(units), ROWS):
        difference = 1 - units[start : start + ROWS] @ units[start:].T
        same = numbers[start : start + ROWS, None] == numbers[None, start:]
        close = np.argwhere(difference <= np.where(same, SAME_IDENTITY, OTHER_IDENTITY))
        for one, other in (close + start).tolist():
            if one < other:
                pairs.add((int(compared[one]), int(compared[other])))
    return pairs


def copies(split: Split, thumbnails: NDArray[np.uint8] | None = None) -> list[str]:
    """Sentences about pictures that a split holds twice where that falsifies its results.

    `thumbnails` [N, 16, 16] of `split.images`; without them, only byte-identical files are found.
    """
    pairs = same_bytes(split.root, [image.path for image in split.images])
    if thumbnails is not None:
        pairs |= alike(thumbnails, [image.identity for image in split.images])
    trained = {*split.train, *split.val}
    across, twice, mislabelled = [], [], []
    for one, other in sorted(pairs):
        if (one in trained) != (other in trained):
            across.append((one, other))
        elif one in trained:
            continue
        elif split.images[one].identity == split.images[other].identity:
            twice.append((one, other))
        else:
            mislabelled.append((one, other))
    kind = "identical or nearly identical" if thumbnails is not None else "byte-identical"
    return [
        *_sentence(across, split, kind, "across training and test", "results will be too good"),
        *_sentence(twice, split, kind, "within one test identity", "a query finds its own copy"),
        *_sentence(mislabelled, split, kind, "across test identities", "one label is wrong"),
    ]


def _sentence(pairs: list[tuple[int, int]], split: Split, kind: str, what: str, why: str) -> list[str]:
    if not pairs:
        return []
    first = " and ".join(split.images[place].path for place in pairs[0])
    return [f"{count(len(pairs), 'pair')} of duplicate images {what} ({kind}): {why}. First {first}."]


def _grouped(places: Iterable[int], key: Callable[[int], object]) -> list[list[int]]:
    groups: dict[object, list[int]] = {}
    for place in places:
        if (found := key(place)) is not None:
            groups.setdefault(found, []).append(place)
    return [group for group in groups.values() if len(group) > 1]


def _size(path: Path) -> int | None:
    """None for what is empty or cannot be read: those are no copies of each other."""
    try:
        return path.stat().st_size or None
    except OSError:
        return None


def _digest(path: Path, part: int) -> bytes | None:
    try:
        with path.open("rb") as file:
            return hashlib.blake2b(file.read(part)).digest()
    except OSError:
        return None
