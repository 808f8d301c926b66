"""The reference database: a folder for each person."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from engine.contract.errors import UserError
from engine.data.layouts.files import list_folder
from handreid_tui.casework.embed import embed_files
from handreid_tui.casework.feature_store import FeatureStore
from handreid_tui.evidence.calibration import hash_file

CHUNK = 2_000  # images embedded before they are kept: an interruption loses no more

OTHER_KIND = "a kind of picture that is not read"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Reference:
    """An image of the gallery. `why_not`: why it is not searched, empty where it is."""

    person: str
    path: Path
    sha256: str = ""
    why_not: str = ""


@dataclass(frozen=True)
class Gallery:
    """References in order of person and name. `ignored`: files and links of the folder that are nobody's."""

    root: Path
    references: tuple[Reference, ...]
    ignored: int

    @property
    def searched(self) -> list[Reference]:
        return [each for each in self.references if not each.why_not]

    @property
    def not_searched(self) -> list[Reference]:
        return [each for each in self.references if each.why_not]

    @property
    def database(self) -> str:
        """SHA-256 over the sorted hashes and persons: the same references give the same, wherever they lie."""
        lines = sorted(f"{each.sha256} {each.person}" for each in self.searched)
        return hashlib.sha256("\n".join(lines).encode(errors="surrogatepass")).hexdigest()


def list_gallery(root: Path) -> Gallery:
    """The images of a folder that holds a folder for each person. Raises UserError where there are none."""
    if not root.is_dir():
        raise UserError(f"There is no folder {root}: --gallery takes one with a folder for each person.")
    listing = list_folder(root, root)
    references, ignored = [], len(listing.files) + len(listing.others) + len(listing.links_out)
    for person in listing.folders:
        own = list_folder(root / person, root)
        ignored += len(own.links_out) + len(own.folders)
        references += [Reference(person, root / person / name) for name in own.files]
        references += [Reference(person, root / person / name, why_not=OTHER_KIND) for name in own.others]
    if not references:
        raise UserError(f"{root} contains no folder with images: --gallery takes one with a folder for each person.")
    return Gallery(root, tuple(references), ignored)


def hash_references(gallery: Gallery, photos: Sequence[str]) -> Gallery:
    """With the hash of each file. Left out: what cannot be read, and images that are one of `photos` (hashes)."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        hashes = list(pool.map(lambda each: hash_file(each.path), gallery.references))
    found = []
    for reference, digest in zip(gallery.references, hashes, strict=True):
        why = reference.why_not or ("" if digest else "cannot be read")
        if digest in photos:
            why = "the same file as a photo of the unknown person"
        found.append(replace(reference, sha256=digest, why_not=why))
    return replace(gallery, references=tuple(found))


def embed_gallery(
    gallery: Gallery, run: Path, store: FeatureStore, keep: Path | None, scratch: Path, progress: Progress
) -> Gallery:
    """Embed what `store` lacks, and keep it in the file `keep` after every chunk. Undecodable files are left out.

    A file that changed since it was hashed is taken as it was when it was decoded.
    """
    references = list(gallery.references)
    missing = [n for n, each in enumerate(references) if not each.why_not and each.sha256 not in store]
    for start in range(0, len(missing), CHUNK):
        some = missing[start : start + CHUNK]
        done = embed_files(run, [references[n].path for n in some], scratch)
        read = [each for each in done.files if each.row is not None]
        store.add([each.sha256 for each in read], done.features)
        for n, each in zip(some, done.files, strict=True):
            why = "" if each.row is not None else each.error
            references[n] = replace(references[n], sha256=each.sha256 or references[n].sha256, why_not=why)
        if keep:
            store.save(keep)
        progress(min(start + CHUNK, len(missing)), len(missing))
    return replace(gallery, references=tuple(references))
