"""Images whose names hold the identity: `001_1.jpg`, `session1/1-R3.JPG`. The user's pattern says where.

Half of the identities, drawn by the split seed, is for training.
"""

from __future__ import annotations

import re
from pathlib import Path

from engine.contract.errors import UserError
from engine.data.catalog import Catalog, Image, tolerate
from engine.data.layouts.drawn import subset_of
from engine.data.layouts.files import joined, walk
from engine.data.layouts.options import Options
from engine.data.layouts.patterns import identity_of
from engine.data.layouts.unread import LINKS, OTHER_KIND, UnreadFiles
from engine.data.wording import count


def recognise(root: Path, options: Options) -> bool:
    return options.identity_pattern is not None


def read(root: Path, options: Options) -> Catalog:
    """Raises UserError without a pattern, without images, and where more than 1 % of the names do not match."""
    if options.identity_pattern is None:
        raise UserError(
            "The format names needs a regular expression whose group is the identity.", "data.identity_pattern"
        )
    pattern = re.compile(options.identity_pattern)
    images: list[Image] = []
    unmatched: list[str] = []
    unread = UnreadFiles(root)
    for folder, listing in walk(root, root):
        unread.add(LINKS, joined(folder, listing.links_out))
        unread.add(OTHER_KIND, joined(folder, listing.others))
        for path in joined(folder, listing.files):
            identity = identity_of(pattern, path)
            if identity is None:
                unmatched.append(path)
            else:
                images.append(Image(path, path, identity))
    total = len(images) + len(unmatched)
    if not total:
        raise UserError(f"{root} contains no images: give the folder that does.")
    warnings: list[str] = []
    if unmatched:
        what = f"The names of {len(unmatched)} of {count(total, 'image')} do not match {options.identity_pattern!r}"
        what += f", first {unmatched[0]}."
        warnings = tolerate(len(unmatched), total, what, "Correct the identity pattern, or rename them.")
    subset, people = subset_of(images, options.seed)
    found = f"identities in the names, {count(people, 'identity')}, {count(len(images), 'image')}"
    return Catalog(root, "names", found, {"all": subset}, tuple(warnings), unread.found())
