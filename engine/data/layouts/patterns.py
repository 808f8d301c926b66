"""Identities in the names of files: patterns that a user may mean, and the one that a user gave."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from engine.data.wording import count

SUGGESTIONS = (  # from the most particular to the most general
    r"^(\d+[-_ ]?[LRlr])[-_ ]?\d+\D*$",  # 1-R3.JPG, 012_L_2.png: a number and a side
    r"^(\d+)[-_ ]",  # 001_1.jpg, 001_IMG__ (1).JPG
    r"^([A-Za-z]+[-_ ]?\d+)[-_ ]",  # person01_3.jpg, S-12-1.png
    r"^(.+?)[-_ ]*\(?\d+\)?\.\w+$",  # anna_1.jpg, anna (2).jpg
)
GROUP = "identity"
FITS = 0.99  # of the names must match a suggestion


def identity_of(pattern: re.Pattern[str], path: str) -> str | None:
    """The identity in `path`, relative to the root: a pattern with a `/` is searched in the path, others in the name.

    None where it does not match, or its group is empty. A group called `identity` is taken, else the first.
    """
    match = pattern.search(path if "/" in pattern.pattern else path.rpartition("/")[2])
    if match is None:
        return None
    found = match[GROUP] if GROUP in pattern.groupindex else match[1]
    return (found or "").strip() or None


def suggest(names: Sequence[str]) -> str:
    """An offer of the first pattern that fits `names` and gives several images of several identities; else empty."""
    for text in SUGGESTIONS:
        pattern = re.compile(text)
        found = Counter(identity for name in names if (identity := identity_of(pattern, name)))
        if found.total() >= FITS * len(names) and len(found) > 1 and found.total() >= 2 * len(found):
            some = f"{count(len(found), 'identity')}: {', '.join(sorted(found)[:3])} …"
            return f"if the names hold the identity, set the identity pattern to '{text}' ({some})"
    return ""
