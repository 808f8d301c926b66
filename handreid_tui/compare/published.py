"""Published results of the field, as data, and which of them a table of ours may stand beside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.contract.errors import UserError
from handreid_tui.compare.table import Table

AveragePrecision = Literal["standard", "trapezoidal"]
MBA_NET = "Baisa et al. 2022, Multi-Branch with Attention Network for Hand-Based Person Recognition, ICPR, 727-732"
CLIP_FH = "CLIP-FH (2025), its published tables"


@dataclass(frozen=True)
class Size:
    """The number of queries and of gallery images in each trial: what tells the full data set from a part of it."""

    queries: int
    gallery: int


@dataclass(frozen=True)
class Published:
    """A published row: fractions, the definition of average precision behind its mAP, and where it stands."""

    method: str
    rank1: float
    mAP: float
    ap: AveragePrecision
    source: str
    caution: str = ""


# Sizes of the full data sets under the published splits: (subset, gallery) -> queries and gallery images of a trial.
SIZES = {
    ("dorsal-right", "all"): Size(971, 290),
    ("dorsal-left", "all"): Size(988, 290),
    ("palmar-right", "all"): Size(917, 290),
    ("palmar-left", "all"): Size(948, 290),
    ("dorsal-right", "own"): Size(971, 71),
    ("dorsal-left", "own"): Size(988, 73),
    ("palmar-right", "own"): Size(917, 71),
    ("palmar-left", "own"): Size(948, 75),
    ("hd", "all"): Size(1992, 1593),
}

MERGED = {  # method -> rank-1 / mAP in percent, in the order of ASPECTS; MBA-Net's paper, merged gallery
    "GPA-Net": ((94.80, 95.72), (94.87, 95.93), (95.83, 96.31), (95.72, 96.20), (94.64, 95.08)),
    "RGA-Net": ((94.77, 95.67), (95.30, 95.98), (92.66, 93.58), (94.95, 95.67), (95.06, 95.39)),
    "ABD-Net": ((95.89, 96.76), (94.26, 95.34), (96.21, 96.91), (95.54, 96.01), (94.93, 95.38)),
    "MBA-Net": ((97.45, 97.98), (96.71, 97.41), (98.05, 98.42), (97.42, 97.84), (95.12, 95.54)),
}
ASPECTS = ("dorsal-right", "dorsal-left", "palmar-right", "palmar-left", "hd")

OWN_DORSAL_RIGHT = (
    Published("CLIP ViT-B/16 zero-shot", 0.7142, 0.7898, "standard", CLIP_FH),
    Published("CLIP RN50 zero-shot", 0.6861, 0.7578, "standard", CLIP_FH),
    Published(
        "CLIP-FH stage 2 v5", 0.8818, 0.9220, "standard", CLIP_FH, "its evaluation reads the true label of the query"
    ),
)


def published_rows(table: Table) -> tuple[Published, ...]:
    """The published rows of the table's protocol: the same data set by its counts, subset and gallery. Else none."""
    protocol = table.protocol
    subset = protocol.subset if protocol.subset in ASPECTS else "hd"
    size = SIZES.get((subset, protocol.gallery))
    if size is None or protocol.reranked or _size(table) != size:
        return ()
    if protocol.gallery == "own":
        return OWN_DORSAL_RIGHT if subset == "dorsal-right" else ()
    place = ASPECTS.index(subset)
    return tuple(
        Published(method, rank1 / 100, mAP / 100, "trapezoidal", MBA_NET)
        for method, results in MERGED.items()
        for rank1, mAP in (results[place],)
    )


def _size(table: Table) -> Size | None:
    """Queries and gallery images of the trials; None where they differ between trials or cannot be read."""
    run = next((run for row in table.rows for run in row.runs), None)
    if run is None:
        return None
    try:
        sizes = {Size(len(trial.query), len(trial.gallery)) for trial in run.evaluation.trials}
    except UserError:
        return None
    return sizes.pop() if len(sizes) == 1 else None
