"""What is in a data set's folder and is not read: counted by kind, each with its first example and a sentence."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.data.wording import count

OTHER_KIND, LOOSE, TOO_DEEP, EMPTY, NO_ROW, LINKS = "other_kind", "loose", "too_deep", "empty", "no_row", "links_out"
SENTENCES = {  # kind: the noun counted, and the rest of the sentence
    OTHER_KIND: ("picture", "of a kind that is not read ({kinds}): convert to JPEG or PNG."),
    LOOSE: ("picture", "outside of the identities' folders, not read: move into the folder of an identity."),
    TOO_DEEP: ("picture", "in folders inside the identities' folders, not read: move up one level."),
    EMPTY: ("folder", "without an image that is read."),
    NO_ROW: ("picture", "without a row in the table, not read."),
    LINKS: ("link", "that leads out of the data set or nowhere, not followed."),
}


@dataclass(frozen=True)
class Unread:
    """`number` things of one kind, the first of them (relative to `root`), and how many have which suffix."""

    root: Path
    kind: str
    number: int
    first: str
    suffixes: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        noun, rest = SENTENCES[self.kind]
        if self.number > 1:
            rest = rest.replace("that leads", "that lead")
        kinds = ", ".join(f"{suffix or 'no suffix'} {number}" for suffix, number in self.suffixes)
        return f"{count(self.number, noun)} {rest.format(kinds=kinds)} First {self.root / self.first}."


class UnreadFiles:
    """Collects what is not read while a layout is read. Paths are relative to `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._paths: dict[str, set[str]] = {}

    def add(self, kind: str, paths: Iterable[str]) -> None:
        if found := set(paths):
            self._paths.setdefault(kind, set()).update(found)

    def found(self) -> tuple[Unread, ...]:
        return tuple(self._of(kind, self._paths[kind]) for kind in SENTENCES if kind in self._paths)

    def _of(self, kind: str, paths: set[str]) -> Unread:
        suffixes = Counter(os.path.splitext(path)[1].lower() for path in paths)  # noqa: PTH122 (text, no path)
        return Unread(self._root, kind, len(paths), min(paths), tuple(suffixes.most_common(5)))
