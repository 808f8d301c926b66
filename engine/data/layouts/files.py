"""Listing folders: images and other pictures, in sorted order, nothing hidden, nothing outside the root."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import UserError
from engine.data.wanted import go_on

_IMAGES = "jpg jpeg jpe jfif mpo png bmp tif tiff webp heic heif hif"
_OTHER_PICTURES = (
    "gif avif jp2 j2k jxl jxr ppm pgm pbm pnm psd xcf raw dng cr2 cr3 nef arw orf rw2 raf exr hdr tga pcx ico dcm svg"
)
_COMPANIONS = (
    "txt csv tsv json xml md html pdf zip gz tar 7z rar py ipynb ini db log yaml yml mat npy npz xlsx xls doc docx pt "
    "pth h5 mp4 mov avi sh m r lnk url"
)
# Images; HEIC is listed on every machine, so that a split does not depend on what is installed
EXTENSIONS = frozenset(f".{name}" for name in _IMAGES.split())
HEIC = frozenset({".heic", ".heif", ".hif"})
# Pictures of other kinds: counted, not read
OTHER_PICTURES = frozenset(f".{name}" for name in _OTHER_PICTURES.split())
# Files that accompany a data set; of any other, the first bytes decide whether it is a picture
COMPANIONS = frozenset(f".{name}" for name in _COMPANIONS.split())
PICTURE_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"GIF8", b"BM")
DEEPEST = 4  # levels below a folder that are searched for pictures
SHORTEST_PICTURE = 12  # bytes that tell its format


@dataclass(frozen=True)
class Listing:
    """Names in a folder, sorted: images, folders, pictures of other kinds, and links out of the root or nowhere."""

    files: tuple[str, ...]
    folders: tuple[str, ...]
    others: tuple[str, ...]
    links_out: tuple[str, ...]


def list_folder(folder: Path, root: Path) -> Listing:
    """List `folder`. Links are followed only where they stay inside `root`. Raises UserError if it is unreadable."""
    files: list[str] = []
    folders: list[str] = []
    others: list[str] = []
    links_out: list[str] = []
    inside = root.resolve()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                go_on()
                if entry.name.startswith("."):
                    continue
                if entry.is_symlink() and not _stays_inside(Path(entry.path), inside):
                    links_out.append(entry.name)
                elif entry.is_dir():
                    folders.append(entry.name)
                elif entry.is_file():
                    kind = files if is_image(entry.name) else others if _is_other_picture(entry) else None
                    if kind is not None:
                        kind.append(entry.name)
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be read: {error.strerror}.") from None
    return Listing(*(tuple(sorted(names)) for names in (files, folders, others, links_out)))


def walk(folder: Path, root: Path, depth: int = DEEPEST) -> Iterator[tuple[str, Listing]]:
    """`folder` and the folders below it, breadth first, by their path relative to `root` ("" for the root itself).

    Links to folders are not followed: they may lead in circles.
    """
    level = [folder]
    for _ in range(depth + 1):
        below: list[Path] = []
        for place in level:
            listing = list_folder(place, root)
            yield "" if place == root else place.relative_to(root).as_posix(), listing
            below += [place / name for name in listing.folders if not (place / name).is_symlink()]
        level = below


def joined(folder: str, names: Iterable[str]) -> list[str]:
    """Paths of `names` in `folder`, which is relative to the root."""
    return [f"{folder}/{name}" if folder else name for name in names]


def is_image(name: str) -> bool:
    return suffix(name) in EXTENSIONS


def suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (thousands of names: keep it cheap)


def _is_other_picture(entry: os.DirEntry[str]) -> bool:
    kind = suffix(entry.name)
    if kind in OTHER_PICTURES or kind in COMPANIONS:
        return kind in OTHER_PICTURES
    try:
        if entry.stat().st_size < SHORTEST_PICTURE:  # as files of /proc are, some of which let a reader wait forever
            return False
        with open(entry.path, "rb") as file:  # noqa: PTH123 (a name may be no UTF-8)
            start = file.read(SHORTEST_PICTURE)
    except OSError:
        return False
    return start.startswith(PICTURE_STARTS) or start[4:8] == b"ftyp" or (start[:4], start[8:]) == (b"RIFF", b"WEBP")


def find_folder(folder: Path, name: str) -> Path | None:
    """The folder in `folder` that is called `name`, whatever its case, `_` and space being the same."""
    return next(
        (folder / inner for inner in list_folder(folder, folder).folders if _plain(inner) == _plain(name)), None
    )


def find_file(folder: Path, names: Iterable[str]) -> Path | None:
    """The file in `folder` with the first of `names` that is there, whatever its case, spaces, `_` and `-`."""
    try:
        there = {_bare(path.name): path for path in sorted(_files(folder), reverse=True)}
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be read: {error.strerror}.") from None
    return next((there[_bare(name)] for name in names if _bare(name) in there), None)


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        go_on()
        if path.is_file():
            yield path


def _plain(name: str) -> str:
    return name.lower().replace("_", " ")


def _bare(name: str) -> str:
    return name.lower().replace("_", "").replace(" ", "").replace("-", "")


def _stays_inside(link: Path, root: Path) -> bool:
    try:
        return link.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):  # a broken link, or a circle
        return False
