"""11k Hands (Afifi 2019): `HandInfo.csv` and the images it names, split as MBA-Net publishes it (Baisa et al. 2022).

An identity is one side of one hand of one person, "dorsal-right/1050": back and palm, left and right show different
surfaces, and the field reports each of the four aspects by itself.
"""

from __future__ import annotations

from pathlib import Path

from engine.contract.errors import UserError
from engine.data.catalog import Catalog, Image, Subset, tolerate
from engine.data.layouts.files import find_file, find_folder
from engine.data.layouts.hand_info import FILES, Row, read_table
from engine.data.layouts.image_places import Places, find_images
from engine.data.layouts.options import Options
from engine.data.layouts.unread import UnreadFiles
from engine.data.wording import count

# The last training identity of each aspect.
THRESHOLDS = {"dorsal-right": 1050, "dorsal-left": 1037, "palmar-right": 1051, "palmar-left": 1042}
# All aspects together are split by person: whoever is tested in any aspect is trained on in none.
POOLED_THRESHOLD = min(THRESHOLDS.values())


def recognise(root: Path, options: Options) -> bool:
    return table_of(root) is not None


def table_of(root: Path) -> tuple[Path, Path] | None:
    """Root and table: the table is in the root or in `Hands`; the root may be given as `Hands` or `Hands/Hands`."""
    hands = find_folder(root, "Hands")
    if table := find_file(root, FILES) or (hands and find_file(hands, FILES)):
        return root, table
    above = root
    while above.name.lower() == "hands" and above.parent != above:
        above = above.parent
        if table := find_file(above, FILES):
            return above, table
    return None


def read(root: Path, options: Options) -> Catalog:
    """Raises UserError where the table or its images are missing or wrong."""
    found = table_of(root)
    if found is None:
        raise UserError(f"{root} is not an 11k Hands folder: it needs HandInfo.csv and, beside it, the folder Hands.")
    root, table = found
    rows = read_table(table)
    used = [row for row in rows if not row.accessories]
    if not used:
        raise UserError(f"{table} has no image without accessories, and only those are used.")
    unread = UnreadFiles(root)
    places = find_images(root, [row.name for row in rows], unread)
    missing = [row.name for row in used if row.name not in places.paths]
    warnings = [*places.warnings, *_missing(missing, len(used), table, root, places, unread)]
    subsets = _subsets(rows, places.paths)
    where = ", ".join(f"{folder}/" if folder else "./" for folder in places.folders[:3])
    where += " …" if len(places.folders) > 3 else ""
    what = f"{count(len(rows), 'row')} in {table.relative_to(root)}, {count(len(places.paths), 'image')} in {where}"
    return Catalog(root, "11k", f"11k Hands, {what}", subsets, tuple(warnings), unread.found())


def _missing(missing: list[str], total: int, table: Path, root: Path, places: Places, unread: UnreadFiles) -> list[str]:
    if not missing:
        return []
    links = next((found.number for found in unread.found() if found.kind == "links_out"), 0)
    advice = f" {count(links, 'link')} out of {root} not followed: give the folder that they lead to." if links else ""
    if not places.paths and not links:
        raise UserError(
            f"None of the {count(total, 'image')} that {table} names is in {root} or a folder below it, first "
            f"{missing[0]}: put the table beside the folder with the images, and give the folder that holds both."
        )
    verb = "is" if len(missing) == 1 else "are"
    what = f"{len(missing)} of {count(total, 'image')} that {table} names {verb} not below {root}, first {missing[0]}."
    return tolerate(len(missing), total, what, "Restore them, or delete their rows." + advice)


def _subsets(rows: list[Row], paths: dict[str, str]) -> dict[str, Subset]:
    usable = [row for row in rows if not row.accessories and row.name in paths]
    parts = {
        aspect: _divide([row for row in usable if row.aspect == aspect], limit, paths)
        for aspect, limit in THRESHOLDS.items()
    }
    rows_of = {aspect: sum(row.aspect == aspect for row in rows) for aspect in THRESHOLDS}
    subsets = {}
    for aspect, (train_all, test) in parts.items():
        if rows_of[aspect]:
            foreign = tuple(image for other in parts if other != aspect for image in parts[other][1])
            subsets[aspect] = Subset(rows_of[aspect], train_all, test, foreign)
    subsets["all"] = Subset(len(rows), *_divide(usable, POOLED_THRESHOLD, paths))
    return subsets


def _divide(rows: list[Row], limit: int, paths: dict[str, str]) -> tuple[tuple[Image, ...], tuple[Image, ...]]:
    def images(part: list[Row]) -> tuple[Image, ...]:
        return tuple(sorted(Image(row.name, paths[row.name], f"{row.aspect}/{row.person}") for row in part))

    return images([row for row in rows if row.person <= limit]), images([row for row in rows if row.person > limit])
