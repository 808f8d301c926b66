"""A folder per identity: `root/<identity>/*.jpg`. Half of the identities, drawn by the split seed, is for training."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from engine.contract.errors import UserError
from engine.data.catalog import Catalog, Image
from engine.data.layouts.drawn import subset_of
from engine.data.layouts.files import Listing, joined, list_folder, walk
from engine.data.layouts.options import Options
from engine.data.layouts.patterns import suggest
from engine.data.layouts.unread import EMPTY, LINKS, LOOSE, OTHER_KIND, TOO_DEEP, UnreadFiles
from engine.data.wording import count

# Names that say how or when the pictures were taken, not of whom
NOT_AN_IDENTITY = re.compile(
    r"(session|sess|set|visit|day|week|part|batch|camera|cam|device|light|left|right|dorsal|palmar|back|palm|hands?|"
    r"male|female|men|women|images?|pictures?|photos?|raw|data|train|training|test|val|query|gallery)[\W_]*\d*",
    re.IGNORECASE,
)


def recognise(root: Path, options: Options) -> bool:
    return any(list_folder(root / name, root).files for name in list_folder(root, root).folders)


def read(root: Path, options: Options) -> Catalog:
    """Raises UserError if no folder in `root` holds images."""
    unread = UnreadFiles(root)
    images, warnings = read_identities(root, root, unread)
    if not images:
        raise UserError(f"{root} has no folders with images in them: one folder for each identity is needed.")
    subset, people = subset_of(images, options.seed)
    found = f"a folder per identity, {count(people, 'identity')}, {count(len(images), 'image')}"
    return Catalog(root, "folder", found, {"all": subset}, (*warnings, *doubts(images)), unread.found())


def read_identities(folder: Path, root: Path, unread: UnreadFiles) -> tuple[list[Image], list[str]]:
    """The images of `folder/<identity>/`, sorted, with warnings. Names are relative to `folder`."""
    images: list[Image] = []
    listing = list_folder(folder, root)
    here = "" if folder == root else folder.relative_to(root).as_posix()
    unread.add(LINKS, joined(here, listing.links_out))
    unread.add(LOOSE, joined(here, (*listing.files, *listing.others)))
    with_images: list[str] = []
    for identity in listing.folders:
        place = joined(here, [identity])[0]
        inner = list_folder(folder / identity, root)
        unread.add(LINKS, joined(place, inner.links_out))
        unread.add(OTHER_KIND, joined(place, inner.others))
        count_nested(folder / identity, inner, root, unread)
        for name in inner.files:
            images.append(Image(f"{identity}/{name}", f"{place}/{name}", identity.strip()))
        if inner.files:
            with_images.append(identity)
        else:
            unread.add(EMPTY, [place])
    return sorted(images), _alike(with_images)


def count_nested(folder: Path, listing: Listing, root: Path, unread: UnreadFiles) -> None:
    """Count the pictures in the folders inside an identity's folder, and those of them that hold none."""
    for name in listing.folders:
        for below, deeper in walk(folder / name, root):
            unread.add(TOO_DEEP, joined(below, (*deeper.files, *deeper.others)))
            if not (deeper.files or deeper.others or deeper.folders):
                unread.add(EMPTY, [below])


def _alike(names: Sequence[str]) -> list[str]:
    """Warnings about folders that are merged, or that may be one identity written in two ways."""
    merged: dict[str, list[str]] = {}
    cases: dict[str, set[str]] = {}
    for name in names:
        merged.setdefault(name.strip(), []).append(name)
        cases.setdefault(name.strip().casefold(), set()).add(name.strip())
    warnings = []
    if same := [group for group in merged.values() if len(group) > 1]:
        first = " and ".join(map(repr, same[0]))
        warnings.append(
            f"{count(len(same), 'identity')} merged from folders whose names differ in spaces only, first {first}."
        )
    if unsure := [sorted(group) for group in cases.values() if len(group) > 1]:
        pairs = f"{count(len(unsure), 'pair')} of identities {'differs' if len(unsure) == 1 else 'differ'} in case only"
        warnings.append(f"{pairs}, first {' and '.join(unsure[0])}: rename one if they are one person.")
    return warnings


def doubts(images: Sequence[Image]) -> list[str]:
    """Warnings where the folders look like sessions or sets rather than identities."""
    names = sorted({image.identity for image in images})
    crowded = len(names) <= 4 and len(images) >= 20 * len(names)
    if not crowded and not all(NOT_AN_IDENTITY.fullmatch(name) for name in names):
        return []
    listed = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
    looks = f"{count(len(names), 'folder')} ({listed}) with {count(len(images), 'image')}"
    advice = suggest([image.path.rpartition("/")[2] for image in images])
    return [f"{looks} may be sessions or sets, not identities{f': {advice}' if advice else ''}."]
