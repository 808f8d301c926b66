"""Where the images are that a table names: in `Hands`, in `Hands/Hands` as Kaggle packs them, or anywhere below."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.data.layouts.files import find_folder, joined, list_folder, walk
from engine.data.layouts.unread import LINKS, NO_ROW, OTHER_KIND, UnreadFiles
from engine.data.wording import count


@dataclass(frozen=True)
class Places:
    """`paths`: of the names that were found, the file relative to the root. `folders`: those that hold them, sorted."""

    paths: dict[str, str]
    folders: tuple[str, ...]
    warnings: tuple[str, ...]


def find_images(root: Path, names: Sequence[str], unread: UnreadFiles) -> Places:
    """Look for `names` in `Hands`, then in every folder below `root`; what is not named there is counted as unread.

    A name may differ in case, in the form of its accents, and in its suffix, where only one file fits.
    """
    listed = _listed(root, names)
    paths: dict[str, str] = {}
    inexact: list[str] = []
    wanted = set(names)
    for folder, there in _fullest_first(listed, wanted):
        for name in wanted.intersection(there):
            paths.setdefault(name, joined(folder, [name])[0])
    used = set(paths.values())
    spare = [path for folder, there in listed.items() for path in joined(folder, there) if path not in used]
    for key in (_folded, _stem):
        by_key: dict[str, list[str]] = {}
        for path in spare:
            by_key.setdefault(key(path.rpartition("/")[2]), []).append(path)
        claimed = _keys_once(names, key)
        for name in names:
            fitting = by_key.get(key(name), [])
            if name not in paths and len(fitting) == 1 and key(name) in claimed and fitting[0] not in used:
                paths[name] = fitting[0]
                used.add(fitting[0])
                inexact.append(f"{name} is {fitting[0]}")
    folders = sorted({path.rpartition("/")[0] for path in used})
    for folder in folders:
        unread.add(NO_ROW, (path for path in joined(folder, listed.get(folder, ())) if path not in used))
        listing = list_folder(root / folder, root)
        unread.add(LINKS, joined(folder, listing.links_out))
        unread.add(OTHER_KIND, joined(folder, listing.others))
    warnings: tuple[str, ...] = ()
    if inexact:
        files = count(len(inexact), "file")
        warnings = (f"{files} found under a name that the table writes otherwise (case or suffix): {inexact[0]}.",)
    return Places(paths, tuple(folders), warnings)


def _listed(root: Path, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Image files by folder: `Hands` alone where it holds every name, else all folders below the root."""
    hands = find_folder(root, "Hands")
    if hands is not None:
        files = list_folder(hands, root).files
        if set(names) <= set(files):
            return {hands.relative_to(root).as_posix(): files}
    return {folder: listing.files for folder, listing in walk(root, root) if listing.files}


def _fullest_first(listed: dict[str, tuple[str, ...]], wanted: set[str]) -> Iterable[tuple[str, tuple[str, ...]]]:
    return sorted(listed.items(), key=lambda item: (-len(wanted.intersection(item[1])), item[0]))


def _keys_once(names: Sequence[str], key: Callable[[str], str]) -> set[str]:
    seen: dict[str, int] = {}
    for name in names:
        seen[key(name)] = seen.get(key(name), 0) + 1
    return {found for found, number in seen.items() if number == 1}


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold().strip()


def _stem(name: str) -> str:
    return _folded(name).rpartition(".")[0]
