"""Images, what a folder holds (`Catalog`), and what a run takes from it (`Split`). Plain data, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.choices import ASPECTS as ASPECTS
from engine.contract.errors import UserError

if TYPE_CHECKING:
    from engine.data.layouts.unread import Unread

TOLERATED = 0.01  # of the images may be missing or unusable before it is an error


@dataclass(frozen=True, order=True)
class Image:
    """One image: `name` is unique in its subset and the same on every machine, `path` is relative to the root."""

    name: str
    path: str
    identity: str


@dataclass(frozen=True)
class PreparedTrial:
    """A query and gallery that somebody chose before us; `gallery_all` is the merged one, empty if there is none."""

    query: tuple[Image, ...]
    gallery: tuple[Image, ...]
    gallery_all: tuple[Image, ...]


@dataclass(frozen=True)
class Prepared:
    """The choices that a prepared tree made: held-out validation images and trials, either may be empty."""

    train: tuple[Image, ...]
    val: tuple[Image, ...]
    trials: tuple[PreparedTrial, ...]


@dataclass(frozen=True)
class Subset:
    """A part of a data set that is trained and tested by itself, divided by identity, before any image is drawn.

    `images` counts all that were found, used or not. One image of each identity of `foreign` joins the merged
    gallery; all of `distractors` are in every gallery. `prepared` stands above our own drawing.
    """

    images: int
    train_all: tuple[Image, ...]
    test: tuple[Image, ...]
    foreign: tuple[Image, ...] = ()
    distractors: tuple[Image, ...] = ()
    prepared: Prepared | None = None


@dataclass(frozen=True)
class Catalog:
    """A recognised folder. `found` says in a few words what was recognised, `unread` what was left out."""

    root: Path
    format: str
    found: str
    subsets: dict[str, Subset]
    warnings: tuple[str, ...] = ()
    unread: tuple[Unread, ...] = ()


@dataclass(frozen=True)
class Trial:
    """One query set and one gallery, as positions in `Split.images`."""

    query: tuple[int, ...]
    gallery: tuple[int, ...]


@dataclass(frozen=True)
class Split:
    """Every image that a run needs, sorted by name, and who takes part in what (positions in `images`).

    `classes` holds the identities with training images, sorted; the position is the class index. `gallery` is the one
    in effect: `own` also for an aspect without others beside it, `all` where nothing could be merged by nature.
    Runs with equal `fingerprint` trained and tested on the same images. `validation` holds the trials on held-out
    people, none where the validation images are of people who are trained on.
    """

    root: Path
    format: str
    subset: str
    gallery: str
    images: tuple[Image, ...]
    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    trials: tuple[Trial, ...]
    classes: tuple[str, ...]
    fingerprint: str
    found: str
    warnings: tuple[str, ...]
    validation: tuple[Trial, ...] = ()


def identities(images: tuple[Image, ...]) -> dict[str, list[Image]]:
    """The images of each identity, both in sorted order."""
    groups: dict[str, list[Image]] = {}
    for image in sorted(images):
        groups.setdefault(image.identity, []).append(image)
    return dict(sorted(groups.items()))


def tolerate(bad: int, total: int, what: str, way_out: str) -> list[str]:
    """A warning about `bad` of `total` images, none if there are none. Raises UserError above 1 %."""
    if bad > TOLERATED * total:
        raise UserError(f"{what} {way_out}")
    return [f"{what} Left out."] if bad else []
