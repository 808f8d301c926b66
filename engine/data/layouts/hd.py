"""PolyU Hand Dorsal (Kumar and Xu 2016): `Original Images/1-501` and `502-712`, split as MBA-Net publishes it.

File names begin with the identity, `448_2.jpg`; a folder per identity works as well.
"""

from __future__ import annotations

import re
from pathlib import Path

from engine.contract.errors import UserError
from engine.data.catalog import Catalog, Image, Subset, tolerate
from engine.data.layouts.files import find_folder, joined, list_folder
from engine.data.layouts.folder import count_nested
from engine.data.layouts.options import Options
from engine.data.layouts.unread import EMPTY, LINKS, OTHER_KIND, UnreadFiles
from engine.data.wording import count

LAST_TRAIN_IDENTITY = 447
DISTRACTOR_OFFSET = 1000  # the second folder's identities come after all of the first
FIRST, SECOND = "1-501", "502-712"


def recognise(root: Path, options: Options) -> bool:
    return _place(root) is not None


def _place(root: Path) -> Path | None:
    """The folder that holds `1-501`: the given one, or `Original Images` (or `Original_Images`) in it."""
    candidates = [root, find_folder(root, "Original Images")]
    return next((path for path in candidates if path and FIRST in list_folder(path, path).folders), None)


def read(root: Path, options: Options) -> Catalog:
    """Raises UserError where the first folder is missing or its images have no identity in their names."""
    place = _place(root)
    if place is None:
        raise UserError(f"{root} is not an HD folder: it needs {FIRST} and {SECOND}, or Original Images with both.")
    unread = UnreadFiles(place)
    first, warnings = _read_part(place, FIRST, 0, unread)
    if SECOND in list_folder(place, place).folders:
        distractors, more = _read_part(place, SECOND, DISTRACTOR_OFFSET, unread)
        warnings += more
    else:
        distractors = []
        warnings.append(f"There is no folder {SECOND}: galleries have no distractors, which published ones have.")
    subset = Subset(
        images=len(first) + len(distractors),
        train_all=tuple(image for person, image in first if person <= LAST_TRAIN_IDENTITY),
        test=tuple(image for person, image in first if person > LAST_TRAIN_IDENTITY),
        distractors=tuple(image for _, image in distractors),
    )
    found = f"HD, {count(len(first), 'image')} in {FIRST}, {len(distractors)} in {SECOND}"
    return Catalog(place, "hd", found, {"all": subset}, tuple(warnings), unread.found())


def _read_part(root: Path, part: str, offset: int, unread: UnreadFiles) -> tuple[list[tuple[int, Image]], list[str]]:
    listing = list_folder(root / part, root)
    unread.add(LINKS, joined(part, listing.links_out))
    unread.add(OTHER_KIND, joined(part, listing.others))
    entries = [(name, name) for name in listing.files]
    for folder in listing.folders:
        inner = list_folder(root / part / folder, root)
        place = f"{part}/{folder}"
        unread.add(LINKS, joined(place, inner.links_out))
        unread.add(OTHER_KIND, joined(place, inner.others))
        unread.add(EMPTY, [] if inner.files else [place])
        count_nested(root / place, inner, root, unread)
        entries += [(folder, f"{folder}/{name}") for name in inner.files]
    images, nameless = [], []
    for label, path in entries:
        if match := re.match(r"\s*([0-9]{1,9})(?![0-9])", label):
            person = int(match[1]) + offset
            images.append((person, Image(f"{part}/{path}", f"{part}/{path}", str(person))))
        else:
            nameless.append(path)
    warnings: list[str] = []
    if nameless:
        some = f"{len(nameless)} of {len(entries)}, first {nameless[0]}"
        what = f"Images in {root / part} without an identity at the start of their name: {some}."
        warnings += tolerate(
            len(nameless), len(entries), what, "Rename them as <identity>_<number>, or move them away."
        )
    return sorted(images, key=lambda pair: pair[1]), warnings
