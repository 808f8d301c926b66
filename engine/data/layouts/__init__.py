"""What is this folder? Each layout of `engine.contract.layouts` recognises its own, and reads it into a catalog."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from engine.contract.errors import UserError
from engine.contract.layouts import LAYOUTS
from engine.data.catalog import Catalog
from engine.data.layouts.files import DEEPEST, find_folder, list_folder, walk
from engine.data.layouts.options import Options
from engine.data.layouts.patterns import suggest
from engine.data.wording import count

BY_DEFAULT = Options()


class Reader(Protocol):
    """The module of a layout."""

    def recognise(self, root: Path, options: Options) -> bool: ...

    def read(self, root: Path, options: Options) -> Catalog: ...


def read_catalog(root: Path, format: str = "auto", options: Options = BY_DEFAULT) -> Catalog:
    """Read the data set at `root`.

    Raises UserError if there is nothing, nothing recognised, or something wrong in it.
    """
    root = _existing_folder(root)
    layout = detect(root, options) if format == "auto" else format
    if layout not in LAYOUTS:
        raise UserError(f"There is no format {layout!r}, only auto, {', '.join(LAYOUTS)}.")
    if options.identity_pattern and layout != "names":
        raise UserError(
            f"The format {layout} has its own identities: leave out the pattern, or the format.",
            "data.identity_pattern",
        )
    return _reader(layout).read(root, options)


def detect(root: Path, options: Options = BY_DEFAULT) -> str:
    """The layout of an existing folder. Raises UserError that says what was looked for."""
    for name in LAYOUTS:
        if name == "folder" and find_folder(root, "Hands"):
            raise UserError(f"{root} has the folder Hands, but no HandInfo.csv beside or inside it: add the table.")
        if _reader(name).recognise(root, options):
            return name
    message, setting = _nothing_known(root, options)
    raise UserError(message, setting)


def _reader(layout: str) -> Reader:
    return cast(Reader, import_module(LAYOUTS[layout].module))


def _nothing_known(root: Path, options: Options) -> tuple[str, str]:
    """The sentence, and the setting that it is about."""
    listing = list_folder(root, root)
    if deeper := _data_set_below(root, listing.folders, options):
        return f"{root} is not a data set itself, but {deeper} looks like one: give that folder.", "data.source"
    if listing.files:
        there, advice = f"{count(len(listing.files), 'image')} outside of any folder", suggest(listing.files)
    else:
        there, advice = _images_below(root)
    if advice:
        return f"{root} holds {there}: {advice}.", "data.identity_pattern"
    links = f", {count(len(listing.links_out), 'link')} out of it" if listing.links_out else ""
    needs = [layout.needs for layout in LAYOUTS.values()]
    may_hold = f"it may hold {', '.join(needs[:-1])}, or {needs[-1]}."
    return f"{root} is not a known data set ({there}{links}): {may_hold}", ""


def _data_set_below(root: Path, folders: tuple[str, ...], options: Options) -> Path | None:
    """The only folder in `root` that is a data set, such as what an archive was unpacked into."""
    found = [
        root / name
        for name in folders[:50]
        if any(_reader(layout).recognise(root / name, options) for layout in LAYOUTS)
    ]
    return found[0] if len(found) == 1 else None


def _images_below(root: Path) -> tuple[str, str]:
    """How many images are deeper than any layout looks, and what to do about it."""
    paths = [f"{folder}/{name}" for folder, listing in walk(root, root, DEEPEST) for name in listing.files]
    if not paths:
        return "no images", ""
    pattern = r"^[^/]+/([^/]+)/"
    advice = f"if the second folder of a path is the identity, set the identity pattern to '{pattern}'"
    return f"{count(len(paths), 'image')} in folders inside folders, first {paths[0]}", advice


def _existing_folder(root: Path) -> Path:
    try:
        root = root.expanduser().resolve()
        if root.is_dir():
            return root
        there = root.exists()
    except (OSError, ValueError, RuntimeError):
        there = False
    if there:
        raise UserError(f"{root} is a file: give the folder that holds the data set.")
    raise UserError(f"There is no folder {root}: give a folder that exists, or `synthetic`.", "data.source")
