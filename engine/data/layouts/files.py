"""Listing folders: images only, in sorted order, nothing hidden, nothing outside the root."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import UserError

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class Listing:
    """Names of image files and of folders, sorted; `links_out` counts links that lead out of the root or nowhere."""

    files: tuple[str, ...]
    folders: tuple[str, ...]
    links_out: int


def list_folder(folder: Path, root: Path) -> Listing:
    """List `folder`. Links are followed only where they stay inside `root`. Raises UserError if it is unreadable."""
    files, folders, links_out = [], [], 0
    inside = root.resolve()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_symlink() and not _stays_inside(Path(entry.path), inside):
                    links_out += 1
                elif entry.is_dir():
                    folders.append(entry.name)
                elif entry.is_file() and is_image(entry.name):
                    files.append(entry.name)
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be read: {error.strerror}.") from None
    return Listing(tuple(sorted(files)), tuple(sorted(folders)), links_out)


def is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in EXTENSIONS  # noqa: PTH122 (thousands of names: keep it cheap)


def find_folder(folder: Path, name: str) -> Path | None:
    """The folder in `folder` that is called `name`, whatever its case, `_` and space being the same."""
    return next(
        (folder / inner for inner in list_folder(folder, folder).folders if _plain(inner) == _plain(name)), None
    )


def find_table(folder: Path, name: str) -> Path | None:
    """The file in `folder` that is called `name`, whatever its case."""
    try:
        return next((path for path in sorted(folder.iterdir()) if _plain(path.name) == _plain(name)), None)
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be read: {error.strerror}.") from None


def _plain(name: str) -> str:
    return name.lower().replace("_", " ")


def _stays_inside(link: Path, root: Path) -> bool:
    try:
        return link.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):  # a broken link, or a circle
        return False


def note_links(count: int) -> list[str]:
    return [f"Links that lead out of the folder or nowhere, not followed: {count}."] if count else []
