"""`case.json`: one search for an unknown person, as it was made. Read by the report, `explain` and the screens."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.contract.errors import UserError
from handreid_tui.casework.folder import find_case
from handreid_tui.runs.safe_files import read_bytes

FILE = "case.json"
_LARGEST = 64 << 20


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CaseImage(_Part):
    """An image file of the case, where it lay; `width` and `height` in pixels, 0 where they are not known."""

    path: str
    sha256: str
    width: int = 0
    height: int = 0


class Candidate(_Part):
    """A person of the list. `log10_lr` None: withheld. `false_candidates`: FPIR(n, score), None where unknown."""

    place: str
    person: str
    cosine: float
    lr: str
    log10_lr: float | None
    lr_withheld: str
    false_candidates: float | None
    above_threshold: bool | None
    references: list[CaseImage]


class CalibrationUsed(_Part):
    """What the likelihood ratios rest on; `shape` as `1:1`."""

    path: str
    people: int
    aspect: str
    population: str
    shape: str
    cllr: float
    cllr_low: float | None
    cllr_high: float | None
    lower: float
    upper: float


class Case(_Part):
    """One search. `candidates` best first; `withheld`: why no LR was given; `notes`: what else was found.

    `measured`: what the rates of false candidates were measured on, and `modelled` beyond it. Rates below `least_rate`
    are not known: too few people.
    """

    version: Literal[1] = 1
    name: str
    created: str
    program: str
    run: str
    run_directory: str
    weights: str
    image_size: int
    patch: int | None
    device: str
    aspect: str
    photos: list[CaseImage]
    gallery: str
    people: int
    images: int
    not_searched: int
    database: str
    calibration: CalibrationUsed | None
    withheld: list[str]
    measured: str
    least_rate: float
    modelled: bool
    fpir: float | None
    threshold: float | None
    candidates: list[Candidate]
    notes: list[str]


def read_case(folder: Path) -> Case:
    """The case in a folder. Raises UserError where there is none, or it is damaged."""
    content = read_bytes(folder / FILE, limit=_LARGEST)
    if content is None:
        raise UserError(f"{folder} is not a case: it has no {FILE}. `handreid identify` creates cases.")
    try:
        return Case.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(
            f"{folder / FILE} is damaged ({'.'.join(map(str, first['loc']))}: {first['msg'].lower()})."
        ) from None


def case_folder(cases: Path, text: str) -> Path:
    """The folder of a readable case: a path, its number, its name, or `last`. Raises UserError where there is none."""
    folder = find_case(cases, text)
    read_case(folder)
    return folder
