"""A folder per identity: `root/<identity>/*.jpg`. Half of the identities, drawn by the split seed, is for training."""

from __future__ import annotations

from pathlib import Path

from engine.contract.errors import UserError
from engine.data.catalog import Catalog, Image, Subset
from engine.data.layouts.files import list_folder, note_links
from engine.data.seeded_choice import half


def recognise(root: Path) -> bool:
    return any(list_folder(root / name, root).files for name in list_folder(root, root).folders)


def read(root: Path, seed: int) -> Catalog:
    """Raises UserError if no folder in `root` holds images."""
    images, warnings = read_identities(root, root)
    if not images:
        raise UserError(f"{root} has no folders with images in them: one folder for each identity is needed.")
    train = half(seed, {image.identity for image in images})
    subset = Subset(
        images=len(images),
        train_all=tuple(image for image in images if image.identity in train),
        test=tuple(image for image in images if image.identity not in train),
    )
    people = len({image.identity for image in images})
    found = f"a folder per identity, {people} identities, {len(images)} images"
    return Catalog(root, "folder", found, {"all": subset}, tuple(warnings))


def read_identities(folder: Path, root: Path) -> tuple[list[Image], list[str]]:
    """The images of `folder/<identity>/`, sorted, and what was not read. Names are relative to `folder`."""
    images, nested = [], 0
    listing = list_folder(folder, root)
    links_out = listing.links_out
    prefix = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
    for identity in listing.folders:
        inner = list_folder(folder / identity, root)
        links_out += inner.links_out
        nested += len(inner.folders)
        for name in inner.files:
            path = f"{identity}/{name}"
            images.append(Image(path, prefix + path, identity.strip()))
    warnings = note_links(links_out)
    if nested:
        warnings.append(f"Folders inside the identities' folders of {folder}, not read: {nested}.")
    return sorted(images), warnings
