"""What is this folder? Each layout has `recognise` (is it this?) and `read` (its catalog)."""

from __future__ import annotations

from pathlib import Path

from engine.contract.errors import UserError
from engine.data.catalog import Catalog
from engine.data.layouts import eleven_k, folder, hd, prepared
from engine.data.layouts.files import find_folder, list_folder


def read_catalog(root: Path, format: str = "auto", seed: int = 0) -> Catalog:
    """Read the data set at `root`; `seed` draws the training identities of a folder per identity.

    Raises UserError if there is nothing, nothing recognised, or something wrong in it.
    """
    root = _existing_folder(root)
    layout = detect(root) if format == "auto" else format
    if layout == "folder":
        return folder.read(root, seed)
    readers = {"11k": eleven_k.read, "hd": hd.read, "prepared": prepared.read}
    if layout not in readers:
        raise UserError(f"There is no format {layout!r}, only auto, folder, {', '.join(readers)}.")
    return readers[layout](root)


def detect(root: Path) -> str:
    """The layout of an existing folder. Raises UserError that says what was looked for."""
    if eleven_k.recognise(root):
        return "11k"
    if hd.recognise(root):
        return "hd"
    if prepared.recognise(root):
        return "prepared"
    if find_folder(root, "Hands"):
        raise UserError(f"{root} has the folder Hands, but no HandInfo.csv beside or inside it: add the table.")
    if folder.recognise(root):
        return "folder"
    listing = list_folder(root, root)
    there = f"{len(listing.files)} images outside of any folder" if listing.files else "no images"
    links = f", {listing.links_out} links that lead out of it" if listing.links_out else ""
    raise UserError(
        f"{root} is no data set that is known ({there}{links}): it may hold Hands and HandInfo.csv (11k), "
        "1-501 and 502-712 (HD), a tree with train, test, query0 and gallery0, or one folder for each identity."
    )


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
