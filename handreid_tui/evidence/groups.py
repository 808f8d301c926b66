"""Groups of people by the labels of the data set's own table: sex, skin and age of 11k Hands. Nothing is inferred."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.contract.errors import UserError
from engine.data.layouts.eleven_k import table_of
from engine.data.layouts.hand_info import LABELS, read_table
from handreid_tui.compare.evaluation import Evaluation

COLUMNS = {"sex": "gender", "skin": "skinColor", "age": "age"}
LEAST_PEOPLE = 10  # below, a group is counted and not measured
UNKNOWN = "not in the table"


@dataclass(frozen=True)
class Labels:
    """For each image [N] the group of its person in each of the asked-for `by`."""

    of_image: dict[str, NDArray[np.str_]]

    def joined(self, by: list[str]) -> NDArray[np.str_]:
        """The groups of several labels as one, [N]."""
        parts = [self.of_image[each].tolist() for each in by]
        return np.array([", ".join(labels) for labels in zip(*parts, strict=True)])


def parse_by(text: str) -> list[str]:
    """`sex,skin` as a list. Raises UserError on what is not a column of the table."""
    found = [part.strip() for part in text.split(",") if part.strip()]
    if not found or any(part not in COLUMNS for part in found):
        raise UserError(f"--by takes {', '.join(COLUMNS)}, or several with commas, but got {text!r}.")
    return found


def read_labels(evaluation: Evaluation, person: NDArray[np.int64], by: list[str]) -> Labels:
    """The labels of each image's person, joined on the image's name; a person with several has the most frequent.

    Raises UserError where the data set has no such table.
    """
    table = _table(evaluation.root, [COLUMNS[each] for each in by])
    found = {}
    for column in by:
        rows = [table.get(name.rpartition("/")[2], {}).get(COLUMNS[column], "") for name in evaluation.names]
        label = [_band(row) if column == "age" else row or UNKNOWN for row in rows]
        votes: dict[int, Counter[str]] = {}
        for who, each in zip(person.tolist(), label, strict=True):
            votes.setdefault(who, Counter())[each] += 1
        of_person = {who: max(sorted(count), key=count.__getitem__) for who, count in votes.items()}
        found[column] = np.array([of_person[who] for who in person.tolist()])
    return Labels(found)


def _table(root: Path, wanted: list[str]) -> dict[str, dict[str, str]]:
    """The labels of the data set's table, by image name and label."""
    places = table_of(root) if root.is_dir() else None
    if places is None:
        raise UserError(f"There is no HandInfo.csv in {root}: groups are taken from the labels of that table.")
    rows = read_table(places[1])
    missing = [label for label in wanted if not any(row.labels[LABELS.index(label)] for row in rows)]
    if missing:
        raise UserError(f"{places[1]} has no {' and no '.join(missing)}, so people cannot be grouped.")
    return {row.name: dict(zip(LABELS, row.labels, strict=True)) for row in rows}


def _band(age: str) -> str:
    if not age.isdecimal():
        return UNKNOWN
    years = int(age)
    return "under 25" if years < 25 else "25-39" if years < 40 else "40 and over"
