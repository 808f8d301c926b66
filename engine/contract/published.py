"""Published results that could be checked: for `compare --published`, Launch and docs/systems.md. No torch here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

AveragePrecision = Literal["standard", "trapezoidal"]

MBA_NET = "Baisa et al. 2022, Multi-Branch with Attention Network for Hand-Based Person Recognition, ICPR, 727-732"
CLIP_FH = "CLIP-FH (2025), its published tables"
CLIP_REID = "Li et al. 2023, CLIP-ReID, AAAI"


@dataclass(frozen=True)
class Published:
    """A published row: fractions, the definition of average precision behind its mAP, and where it stands."""

    method: str
    rank1: float
    mAP: float
    ap: AveragePrecision
    source: str
    caution: str = ""


ASPECTS = ("dorsal-right", "dorsal-left", "palmar-right", "palmar-left", "hd")
MERGED = {  # method -> rank-1 / mAP in percent, in the order of ASPECTS; MBA-Net's paper, merged gallery
    "GPA-Net": ((94.80, 95.72), (94.87, 95.93), (95.83, 96.31), (95.72, 96.20), (94.64, 95.08)),
    "RGA-Net": ((94.77, 95.67), (95.30, 95.98), (92.66, 93.58), (94.95, 95.67), (95.06, 95.39)),
    "ABD-Net": ((95.89, 96.76), (94.26, 95.34), (96.21, 96.91), (95.54, 96.01), (94.93, 95.38)),
    "MBA-Net": ((97.45, 97.98), (96.71, 97.41), (98.05, 98.42), (97.42, 97.84), (95.12, 95.54)),
}
LEAK = "its evaluation reads the true label of the query"
OWN_DORSAL_RIGHT = (
    Published("CLIP ViT-B/16 zero-shot", 0.7142, 0.7898, "standard", CLIP_FH),
    Published("CLIP RN50 zero-shot", 0.6861, 0.7578, "standard", CLIP_FH),
    Published("CLIP-FH stage 2 v5", 0.8818, 0.9220, "standard", CLIP_FH, LEAK),
)


@dataclass(frozen=True)
class Reference:
    """A published row, with the encoder and the data (aspect and gallery) that it is of."""

    row: Published
    encoder: str
    data: str

    def __str__(self) -> str:
        percent = f"{self.row.rank1:.1%} rank-1, {self.row.mAP:.1%} mAP".replace("%", "")
        kind = " (trapezoidal)" if self.row.ap == "trapezoidal" else ""
        return f"{percent}{kind}: {self.encoder}, {self.data}"


def merged(aspect: str) -> tuple[Published, ...]:
    """The rows of MBA-Net's paper for one of ASPECTS."""
    place = ASPECTS.index(aspect)
    return tuple(
        Published(method, rank1 / 100, mAP / 100, "trapezoidal", MBA_NET)
        for method, results in MERGED.items()
        for rank1, mAP in (results[place],)
    )


HANDS_OWN = "11k Hands dorsal-right, own gallery"
REFERENCES: dict[str, tuple[Reference, ...]] = {  # by combination; a combination without an entry has none
    "zero_shot": (
        Reference(OWN_DORSAL_RIGHT[0], "ViT-B-16", HANDS_OWN),
        Reference(OWN_DORSAL_RIGHT[1], "RN50", HANDS_OWN),
    ),
    "clip_reid": (
        Reference(Published("CLIP-ReID", 0.955, 0.896, "standard", CLIP_REID), "ViT-B-16", "Market-1501 (people)"),
        Reference(Published("CLIP-ReID", 0.887, 0.734, "standard", CLIP_REID), "ViT-B-16", "MSMT17 (people)"),
        Reference(Published("CLIP-FH RN50", 0.5764, 0.6707, "standard", CLIP_FH, LEAK), "RN50", HANDS_OWN),
    ),
    "mba_net": (
        Reference(merged("dorsal-right")[-1], "ResNet50 at 324 px", "11k Hands dorsal-right, merged gallery"),
        Reference(merged("hd")[-1], "ResNet50 at 324 px", "HD"),
    ),
}


def references_table(combos: Iterable[str]) -> str:
    """The published results of `combos`, for docs/systems.md, in Markdown."""
    rows = ["| combination | encoder | data | rank-1 / mAP, % | AP | source |", "|---|---|---|---|---|---|"]
    for combo in combos:
        for each in REFERENCES.get(combo, ()):
            row = each.row
            source = row.source + (f"; {row.caution}" if row.caution else "")
            value = f"{100 * row.rank1:.2f} / {100 * row.mAP:.2f}"
            rows.append(f"| `{combo}` | {each.encoder} | {each.data} | {value} | {row.ap} | {source} |")
    return "\n".join(rows)
