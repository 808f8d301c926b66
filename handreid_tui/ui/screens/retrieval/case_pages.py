"""A case as pages of candidates with their pictures. No widget: called in a thread. Pictures stay in memory alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from engine.data.decode import Undecodable
from handreid_tui.casework.case import Candidate, Case, CaseImage, read_case
from handreid_tui.casework.report import rate
from handreid_tui.evidence.calibration import hash_file
from handreid_tui.text.streams import readable
from handreid_tui.ui.screens.retrieval.picture import LARGEST, WHOLE, Pixels, load
from handreid_tui.ui.screens.retrieval.queries import Pair, Shot


@dataclass(frozen=True)
class CasePage:
    """One photo of the case, and candidates `before` + 1 … with a reference of each."""

    case: Case
    photo: Shot
    photo_at: int
    before: int
    candidates: list[tuple[Candidate, Shot]]


@dataclass(frozen=True)
class CaseRequest:
    """What to show of the case in `folder`: a photo, and a page of `shown` candidates."""

    folder: Path
    photo: int
    page: int
    shown: int


def case_page(request: CaseRequest) -> CasePage:
    """Raises UserError where the case cannot be read."""
    case = read_case(request.folder)
    at = request.photo % len(case.photos)
    pages = max(1, -(-len(case.candidates) // request.shown))
    before = request.page % pages * request.shown
    shown = case.candidates[before : before + request.shown]
    return CasePage(
        case,
        _shot(case.photos[at], "photo"),
        at,
        before,
        [(each, _reference(each)) for each in shown],
    )


def case_pair(request: CaseRequest, at: int) -> Pair:
    """The photo and the first reference of candidate `at` (from 1), both at full size. Raises UserError likewise."""
    case = read_case(request.folder)
    at = (at - 1) % len(case.candidates) + 1
    candidate = case.candidates[at - 1]
    photo = _shot(case.photos[request.photo % len(case.photos)], "photo", WHOLE)
    caption = f"candidate {candidate.place}, {readable(candidate.person)}: {strength(case, candidate)}"
    return Pair(photo, _reference(candidate, WHOLE), at, len(case.candidates), 0, float("nan"), caption)


def strength(case: Case, candidate: Candidate) -> str:
    """The LR, or why there is none, and how often this gallery gives such a candidate without the person."""
    given = f"LR {candidate.lr}" if candidate.lr else "no LR"
    if not candidate.lr and not case.withheld:
        given = f"no LR ({readable(candidate.lr_withheld)})"
    chance = rate(candidate.false_candidates, case.least_rate)
    return f"{given}, {chance} without the person" if candidate.false_candidates is not None else given


def _reference(candidate: Candidate, largest: int = LARGEST) -> Shot:
    return _shot(candidate.references[0], candidate.person, largest, candidate.cosine)


def _shot(image: CaseImage, identity: str, largest: int = LARGEST, score: float = 1.0) -> Shot:
    path = Path(image.path)
    pixels = _pixels(path, image.sha256, largest)
    return Shot(readable(path.name), readable(identity), path.parent, path.name, pixels, score)


@lru_cache(maxsize=64)
def _pixels(path: Path, sha256: str, largest: int) -> Pixels | None:
    """None where the file cannot be read, or is not the one that was searched."""
    if hash_file(path) != sha256:
        return None
    try:
        return load(path.parent, path.name, largest)
    except Undecodable:
        return None
