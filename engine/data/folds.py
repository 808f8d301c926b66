"""Divisions of people: folds of the training people for validation, and a drawn division into training and test people.

A person is one, whichever aspects of the hands there are: in 11k Hands "dorsal-right/1050" and "palmar-left/1050" are
two identities of one person, who is never on both sides. Protocol of the folds: Musgrave et al. 2020, section 3.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from engine.contract.errors import UserError
from engine.contract.layouts import LAYOUTS
from engine.data.catalog import ASPECTS, Catalog, Image, Subset
from engine.data.seeded_choice import shuffled

Images = tuple[Image, ...]


def person(identity: str) -> str:
    """Who an identity belongs to: `1050` of `dorsal-right/1050`; any other identity is a person of its own."""
    aspect, slash, number = identity.partition("/")
    return number if slash and aspect in ASPECTS else identity


def hold_out_people(images: Images, seed: int, folds: int, fold: int) -> tuple[Images, Images]:
    """The images to train on and those of the people of fold `fold`, of `folds` that cover everyone once.

    Raises UserError where there are fewer people than folds.
    """
    people = shuffled({person(image.identity) for image in images}, seed, "fold")
    if len(people) < folds:
        raise UserError(
            f"{folds} folds need at least as many training people, but there are {len(people)}: use fewer folds.",
            "data.folds",
        )
    held = set(people[fold::folds])
    train = tuple(image for image in images if person(image.identity) not in held)
    return train, tuple(image for image in images if person(image.identity) in held)


def redivide(catalog: Catalog, seed: int) -> Catalog:
    """The catalog with training and test people drawn by `seed`, as many to train on as before in each subset.

    Raises UserError for a prepared tree, whose division is fixed; a folder for each identity is drawn already.
    """
    if LAYOUTS[catalog.format].drawn:
        return catalog
    if any(subset.prepared for subset in catalog.subsets.values()):
        raise UserError(
            f"{catalog.root} is a prepared tree with a division of its own, which cannot be drawn.", "data.division"
        )
    divided = {name: _divide(subset, seed) for name, subset in catalog.subsets.items()}
    subsets = {
        name: replace(subset, foreign=_tests(divided, name)) if subset.foreign else subset
        for name, subset in divided.items()
    }
    return replace(catalog, subsets=subsets, found=f"{catalog.found}, people divided by seed {seed}")


def _divide(subset: Subset, seed: int) -> Subset:
    images = (*subset.train_all, *subset.test)
    count = len({person(image.identity) for image in subset.train_all})
    train = set(shuffled({person(image.identity) for image in images}, seed, "division")[:count])
    return replace(
        subset,
        train_all=tuple(sorted(image for image in images if person(image.identity) in train)),
        test=tuple(sorted(image for image in images if person(image.identity) not in train)),
    )


def _tests(subsets: dict[str, Subset], without: str) -> Images:
    others: Iterable[str] = (name for name in subsets if name in ASPECTS and name != without)
    return tuple(image for name in others for image in subsets[name].test)
