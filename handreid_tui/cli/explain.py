"""`handreid explain`: the maps in the terminal, each with its three controls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.style import Style
from rich.text import Text

from engine.data.decode import read_picture
from handreid_tui.casework.case import CaseImage, read_case
from handreid_tui.casework.explain import candidate_at, explain_candidate
from handreid_tui.casework.occlusion import Explained
from handreid_tui.text.tables import printable, stdout

SIDE = 256  # pixels of the square that the model sees, drawn larger
ROWS = 20  # of the terminal for a picture
CAPTION = (
    "Brighter: hiding that area lowers the cosine more. This shows what the model used, not which features correspond."
)


def show_explanation(folder: Path, rank: int) -> None:
    """Print both maps, or that no region stands out. Raises UserError where the case's files are gone or changed."""
    case = read_case(folder)
    candidate = candidate_at(case, rank)
    both = explain_candidate(case, rank)
    out = stdout()
    out.print(f"{case.name}, candidate {candidate.place}: {printable(candidate.person)}", style="bold")
    for title, image, found in (
        ("photo", both.photo, both.of_photo),
        ("reference", both.reference, both.of_reference),
    ):
        out.print(f"{title} {printable(image.path)}")
        if found.refused:
            out.print(f"No region stands out: {found.refused}.")
        else:
            _draw(out, image, found)
        out.print(
            f"cosine {found.cosine:.4f}; it falls by {found.top:.4f} with the top quarter hidden, "
            f"{found.random:.4f} with a random one (mean of 5), {found.bottom:.4f} with the bottom quarter. "
            f"Correlation with the map of random weights {found.untrained:.2f}."
        )
    out.print(CAPTION)


def _draw(out: Console, image: CaseImage, found: Explained) -> None:
    """The picture, darkened where hiding changes nothing."""
    from handreid_tui.ui.screens.retrieval.picture import strips

    pixels = np.asarray(read_picture(Path(image.path), SIDE).image.resize((SIDE, SIDE)))
    height, width = pixels.shape[:2]
    share = np.clip(found.drops, 0, None) / max(float(found.drops.max()), 1e-12)
    rows = np.arange(height) * len(share) // height
    columns = np.arange(width) * len(share) // width
    lit = (pixels * (0.25 + 0.75 * share[rows[:, None], columns][..., None])).astype(np.uint8)
    for strip in strips(lit, min(2 * ROWS, out.width), ROWS, Style()):
        out.print(Text.assemble(*((segment.text, segment.style or "") for segment in strip)))
