"""The table of the mission: loss terms, and the named combinations of them.

The command line, the terminal UI, the trainer and the documentation all read these two tables. No torch here.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field

from engine.contract.errors import UserError

Options = dict[str, float | str]


@dataclass(frozen=True)
class Term:
    """One loss: its name in the field, what it does to the embedding, its usual weight and options."""

    title: str
    does: str
    source: str
    weight: float = 1.0
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Combo:
    """A named combination of weighted terms. `weights` maps a term to its weight; `options` overrides its options."""

    title: str
    does: str
    weights: dict[str, float]
    options: dict[str, Options] = field(default_factory=dict)


TERMS: dict[str, Term] = {
    "ce": Term(
        title="CE",
        does="Classifies each image into its identity.",
        source="Szegedy et al. 2016, section 7 (label smoothing)",
        options={"smoothing": 0.1},
    ),
    "triplet": Term(
        title="Triplet",
        does="Brings images of one identity closer to each other than to any other identity.",
        source="Hermans et al. 2017, section 2 (batch hard)",
        options={"margin": 0.3},
    ),
    "center": Term(
        title="Center",
        does="Pulls each identity towards a learnt center: compact clusters.",
        source="Wen et al. 2016, section 3",
        weight=5e-4,
        options={"lr": 0.5},
    ),
    "arcface": Term(
        title="ArcFace",
        does="Classifies by angle and demands an angular margin between identities.",
        source="Deng et al. 2019, section 3",
        options={"scale": 30.0, "margin": 0.3},
    ),
    "cosface": Term(
        title="CosFace",
        does="Classifies by angle and demands a margin between cosines.",
        source="Wang et al. 2018, section 3",
        options={"scale": 30.0, "margin": 0.35},
    ),
    "supcon": Term(
        title="SupCon",
        does="Contrasts all images of one identity with all the others of the batch.",
        source="Khosla et al. 2020, section 3, equation 2",
        options={"temperature": 0.1},
    ),
    "circle": Term(
        title="Circle",
        does="Weighs each pair by how far its similarity is from where it should be.",
        source="Sun et al. 2020, section 3",
        options={"margin": 0.25, "gamma": 80.0},
    ),
}

COMBOS: dict[str, Combo] = {
    "zero_shot": Combo("No training", "Where CLIP starts: the encoder as it is.", {}),
    "ce": Combo("CE", "Basic classification, the baseline.", {"ce": 1.0}),
    "ce_triplet": Combo(
        "CE + Triplet",
        "A discriminative and structured embedding space.",
        {"ce": 1.0, "triplet": 1.0},
    ),
    "ce_triplet_center": Combo(
        "CE + Triplet + Center",
        "The same, with tighter clusters.",
        {"ce": 1.0, "triplet": 1.0, "center": 5e-4},
    ),
    "ce_arcface": Combo(
        "CE + ArcFace",
        "An angular margin for better separation.",
        {"ce": 1.0, "arcface": 1.0},
    ),
}


def find_combo(name: str, own: dict[str, Combo] | None = None) -> Combo:
    """The combination called `name`: a named one, one of the user's `own`, or an expression like `ce+triplet:0.5`.

    Raises UserError, with the nearest name, if there is none.
    """
    table = COMBOS | (own or {})
    if name in table:
        return table[name]
    if "+" in name or name.split(":")[0] in TERMS:
        return _parse_expression(name)
    raise UserError(f"There is no combination {name!r}.{_nearest(name, list(table))} See `handreid combos`.")


def _parse_expression(expression: str) -> Combo:
    weights: dict[str, float] = {}
    for part in expression.split("+"):
        term, _, weight = part.strip().partition(":")
        if term not in TERMS:
            raise UserError(f"There is no loss term {term!r} in {expression!r}.{_nearest(term, list(TERMS))}")
        if term in weights:
            raise UserError(f"The loss term {term!r} stands twice in {expression!r}: write it once, with its weight.")
        try:
            weights[term] = float(weight) if weight else TERMS[term].weight
        except ValueError:
            raise UserError(f"The weight {weight!r} in {expression!r} is not a number.") from None
    title = " + ".join(TERMS[term].title for term in weights)
    return Combo(title, "A combination of your own.", weights)


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known)}."
