"""What a case says to its readers: `report.html`, which makes no request, and the sentences that go with every list."""

from __future__ import annotations

import base64
import io
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image as Pillow

from engine.data.decode import Undecodable, read_picture
from handreid_tui.casework.case import Case, CaseImage

LEAD = (
    "An investigative lead: verify by eye before acting on it. Best of {people} searched: the LR does not account "
    "for the search. The calibration includes no relatives."
)
SIDE = 224  # pixels of a thumbnail
SHOWN = 3  # references of a candidate


def lead(case: Case) -> str:
    """What accompanies every list of candidates."""
    return LEAD.format(people=case.people)


def basis(case: Case) -> str:
    """What the column of false candidates was measured on."""
    if not case.measured:
        return "How often a gallery of this size gives such a candidate is unknown: there is no calibration that fits."
    text = (
        f"How often the best of {case.people} people scores as high when the person is not among them: {case.measured}."
    )
    return (
        f"{text} Model: independent comparisons, since the gallery is larger than the one tested."
        if case.modelled
        else text
    )


def rate(value: float | None, least: float) -> str:
    """A share as a percentage; `–` where it is unknown, `below` the least that the people tested can show."""
    if value is None:
        return "–"
    return f"below {100 * least:.2g} %" if value < least else f"{100 * value:.1f} %"


def render(case: Case, pictures: bool) -> str:
    """The page. With `pictures`, small copies of the photos and references are in it; without, none."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    line = None
    if case.threshold is not None:
        line = sum(each.above_threshold is True for each in case.candidates)
    shown: dict[str, list[str]] = {}
    if pictures:
        shown = {"": [_thumbnail(each) for each in case.photos]}
        shown |= {each.person: [_thumbnail(some) for some in each.references[:SHOWN]] for each in case.candidates}
    text = environment.get_template("report.html").render(
        case=case, lead=lead(case), basis=basis(case), rate=rate, line=line, pictures=shown
    )
    return text + "\n"


@lru_cache(maxsize=256)
def _thumbnail(image: CaseImage) -> str:
    """A small JPEG in base64, empty where the file cannot be decoded any more."""
    try:
        small = read_picture(Path(image.path), SIDE).image
    except Undecodable:
        return ""
    small.thumbnail((SIDE, SIDE), Pillow.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=85)
    return base64.b64encode(out.getvalue()).decode()
