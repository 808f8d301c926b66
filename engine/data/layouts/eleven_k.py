"""11k Hands (Afifi 2019): `Hands/*.jpg` and `HandInfo.csv`, split as MBA-Net publishes it (Baisa et al. 2022).

An identity is one side of one hand of one person, "dorsal-right/1050": back and palm, left and right show different
surfaces, and the field reports each of the four aspects by itself.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import UserError
from engine.data.catalog import Catalog, Image, Subset, tolerate
from engine.data.layouts.files import find_folder, find_table, list_folder, note_links

# The last training identity of each aspect.
THRESHOLDS = {"dorsal-right": 1050, "dorsal-left": 1037, "palmar-right": 1051, "palmar-left": 1042}
# All aspects together are split by person: whoever is tested in any aspect is trained on in none.
POOLED_THRESHOLD = min(THRESHOLDS.values())
COLUMNS = ("id", "accessories", "aspectOfHand", "imageName")


@dataclass(frozen=True)
class Row:
    person: int
    aspect: str
    accessories: bool
    name: str


def recognise(root: Path) -> tuple[Path, Path, Path] | None:
    """Root, table and image folder, if this is 11k Hands: the CSV stands beside the folder `Hands` or inside it."""
    table = find_table(root, "HandInfo.csv")
    if hands := find_folder(root, "Hands"):
        table = table or find_table(hands, "HandInfo.csv")
        return (root, table, hands) if table else None
    if table:
        return root, table, root
    if root.name.lower() == "hands" and (table := find_table(root.parent, "HandInfo.csv")):
        return root.parent, table, root
    return None


def read(root: Path) -> Catalog:
    """Raises UserError where the table or its images are missing or wrong."""
    places = recognise(root)
    if places is None:
        raise UserError(f"{root} is not an 11k Hands folder: it needs HandInfo.csv and, beside it, the folder Hands.")
    root, table, hands = places
    rows = read_table(table)
    listing = list_folder(hands, root)
    there, used = set(listing.files), [row for row in rows if not row.accessories]
    missing = [row.name for row in used if row.name not in there]
    warnings = note_links(listing.links_out) + _missing(missing, len(used), table, hands, listing.links_out)
    if not used:
        raise UserError(f"{table} has no image without accessories, and only those are used.")
    prefix = "" if hands == root else f"{hands.name}/"
    subsets = _subsets(rows, there, prefix)
    found = f"11k Hands, {len(rows)} rows in {table.relative_to(root)}, {len(there)} images in {prefix or './'}"
    return Catalog(root, "11k", found, subsets, tuple(warnings))


def _missing(missing: list[str], total: int, table: Path, hands: Path, links_out: int) -> list[str]:
    if not missing:
        return []
    what = f"{len(missing)} of {total} images that {table} names are not in {hands}, first {missing[0]}."
    links = f" {links_out} links that lead out of {hands} were not followed: give the folder that they lead to."
    return tolerate(len(missing), total, what, "Restore them, or delete their rows." + (links if links_out else ""))


def _subsets(rows: list[Row], there: set[str], prefix: str) -> dict[str, Subset]:
    usable = [row for row in rows if not row.accessories and row.name in there]
    parts = {
        aspect: _divide([r for r in usable if r.aspect == aspect], limit, prefix)
        for aspect, limit in THRESHOLDS.items()
    }
    rows_of = {aspect: sum(row.aspect == aspect for row in rows) for aspect in THRESHOLDS}
    subsets = {}
    for aspect, (train_all, test) in parts.items():
        if rows_of[aspect]:
            foreign = tuple(image for other in parts if other != aspect for image in parts[other][1])
            subsets[aspect] = Subset(rows_of[aspect], train_all, test, foreign)
    subsets["all"] = Subset(len(rows), *_divide(usable, POOLED_THRESHOLD, prefix))
    return subsets


def _divide(rows: list[Row], limit: int, prefix: str) -> tuple[tuple[Image, ...], tuple[Image, ...]]:
    def images(part: list[Row]) -> tuple[Image, ...]:
        return tuple(sorted(Image(row.name, prefix + row.name, f"{row.aspect}/{row.person}") for row in part))

    return images([row for row in rows if row.person <= limit]), images([row for row in rows if row.person > limit])


def read_table(path: Path) -> list[Row]:
    """The rows of HandInfo.csv. Raises UserError, with the line, on anything that is not what it should be."""
    reader = csv.reader(io.StringIO(_decode(path), newline=""))
    try:
        rows = list(_parse(path, reader))
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}. Take the table as 11k Hands publishes it.") from None
    if not rows:
        raise UserError(f"{path} has no rows.")
    return rows


def _decode(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    encodings = ["utf-16"] if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ["utf-8-sig", "latin-1"]
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise UserError(f"{path} is not a text file that can be read: save it as UTF-8.")


def _parse(path: Path, reader: Iterator[list[str]]) -> Iterator[Row]:
    header = [column.strip() for column in next(reader, [])]
    if missing := [column for column in COLUMNS if column not in header]:
        raise UserError(f"{path} has no column {', '.join(missing)}: its first line must name {', '.join(COLUMNS)}.")
    places = [header.index(column) for column in COLUMNS]
    seen: set[str] = set()
    for values in reader:
        if not any(value.strip() for value in values):
            continue
        line = f"{path}, line {reader.line_num}"  # type: ignore[attr-defined]
        if len(values) <= max(places):
            raise UserError(f"{line}: has {len(values)} values, but the first line names {len(header)} columns.")
        row = _row(line, *(values[place].strip() for place in places))
        if row.name in seen:
            raise UserError(f"{line}: the image {row.name} has a row already. Delete one of the two.")
        seen.add(row.name)
        yield row


def _row(line: str, person: str, accessories: str, aspect: str, name: str) -> Row:
    if not re.fullmatch(r"[0-9]{1,18}", person):
        raise UserError(f"{line}: the id {_short(person)} is not a whole number.")
    if accessories not in ("0", "1"):
        raise UserError(f"{line}: accessories is {_short(accessories)}, but must be 0 or 1.")
    plain_aspect = "-".join(aspect.lower().split())
    if plain_aspect not in THRESHOLDS:
        known = ", ".join(known.replace("-", " ") for known in THRESHOLDS)
        raise UserError(f"{line}: aspectOfHand is {_short(aspect)}, but must be one of {known}.")
    if not name.isprintable() or not name or name.startswith(".") or any(mark in name for mark in "/\\:"):
        raise UserError(f"{line}: the image name {_short(name)} is not the plain name of a file.")
    return Row(int(person), plain_aspect, accessories == "1", name)


def _short(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:40] + "…")
