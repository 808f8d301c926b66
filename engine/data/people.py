"""Persons behind identities: one of 11k Hands is an aspect of a person's hand, and everything here goes by person."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.contract.errors import UserError
from engine.data.catalog import ASPECTS, Split

Ints = NDArray[np.int64]
_ASPECT = re.compile(rf"({'|'.join(ASPECTS)})[/_ -](.+)")


def person_of(identity: str) -> str:
    """The person: `1050` of `dorsal-right/1050`; an identity without an aspect is a person."""
    found = _ASPECT.fullmatch(identity)
    return found[2] if found else identity


def aspect_of(identity: str) -> str:
    """The aspect of an identity, empty where it has none."""
    found = _ASPECT.fullmatch(identity)
    return found[1] if found else ""


def aspect_numbers(identities: Sequence[str]) -> Ints:
    """The aspect [N] of each identity, as its place in ASPECTS. Raises UserError where an identity has none."""
    aspects = {identity: aspect_of(identity) for identity in identities}
    if unknown := [identity for identity, aspect in aspects.items() if not aspect]:
        raise UserError(
            f"The model takes the aspect of each image, but the data set does not state that of {unknown[0]}: "
            "use a model without model.aspect_embedding.",
            "model.aspect_embedding",
        )
    return np.array([ASPECTS.index(aspects[identity]) for identity in identities], np.int64)


def check_aspects(split: Split) -> None:
    """Raises UserError where an embedding of the aspect has nothing to tell apart in the training images."""
    if len(set(aspect_numbers(split.classes).tolist())) < 2:
        raise UserError(
            f"An embedding of the aspect needs several aspects, but {split.subset} has one: "
            "train on all of them together, or use model.aspect_embedding=0.",
            "model.aspect_embedding",
        )


@dataclass(frozen=True)
class People:
    """The persons of N images: `names` sorted, `person` [N] each image's place in them, `aspect` [N]."""

    names: list[str]
    person: Ints
    aspect: NDArray[np.str_]

    @classmethod
    def of(cls, identities: Iterable[str]) -> People:
        """Of the identity of each image."""
        listed = [str(identity) for identity in identities]
        names, person = np.unique([person_of(identity) for identity in listed], return_inverse=True)
        return cls(names.tolist(), person.reshape(-1).astype(np.int64), np.array([aspect_of(each) for each in listed]))


def aspect_tested(aspects: Sequence[str]) -> str:
    """One aspect, `all` for several, empty for none."""
    found = sorted(set(aspects))
    return found[0] if len(found) == 1 else "all" if found else ""
