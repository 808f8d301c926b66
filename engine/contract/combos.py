"""The named combinations of loss terms, and the combinations that a user writes as an expression. No torch here."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field

from engine.contract.errors import UserError
from engine.contract.recipe import CLIP_HANDID_RECIPE, Recipe
from engine.contract.terms import TERMS, Value, find_term, plain_word, term_called

Options = dict[str, Value]
FUSED = "fused("  # how a fusion of runs is named; no combination that is trained has a parenthesis in its name


@dataclass(frozen=True)
class Combo:
    """A named combination of weighted terms. `weights` maps a term to its weight; `options` overrides its options.

    `settings`: what it is beside its loss, as dotted keys, with every model; a user's settings override them.
    `cost`: its stages, and what it computes beside the encoder.
    `recipe`: settings of the published system that it is, as dotted keys, which stand above the recipe of the model.
    `handreid-tiny`, which no paper uses, keeps its own.
    """

    title: str
    does: str
    weights: dict[str, float]
    options: dict[str, Options] = field(default_factory=dict)
    settings: dict[str, Value] = field(default_factory=dict)
    cost: str = "One stage."
    recipe: Recipe = field(default_factory=dict)


COMBOS: dict[str, Combo] = {
    "zero_shot": Combo("No training", "CLIP without training.", {}),
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
    "facenet": Combo("FaceNet", "The triplet loss of face recognition, alone.", {"facenet": 1.0}),
    "ce_facenet": Combo(
        "CE + FaceNet",
        "Semi-hard triplets in place of the hardest ones.",
        {"ce": 1.0, "facenet": 1.0},
    ),
    "clip_reid": Combo(
        "CLIP-ReID",
        "Two stages: learns a text for each identity, then trains the encoder against these texts.",
        {"ce": 0.5, "triplet": 2.0, "i2t": 1.0},  # the sum over two features of 0.25 CE + triplet
        cost="Two stages; the text tower in the first.",
    ),
    "clip_handid": Combo(
        "CLIP-HandID",
        "Maps each image to a word, and trains the encoder against texts that contain it.",
        {"ce": 2.0, "inversion": 1.0},  # the sum of two CEs
        recipe=CLIP_HANDID_RECIPE,
        cost="One stage; the text tower in every step.",
    ),
    "mba_net": Combo(
        "MBA-Net",
        "Spatial and channel attention, in branches beside the global feature.",
        {"ce": 3.0},  # times the mean over three features: their sum
        settings={"model.branches": "mba"},
        cost="One stage; two copies of the encoder's last stage, with attention, beside it.",
    ),
}


def find_combo(text: str, own: dict[str, Combo] | None = None) -> Combo:
    """The combination called `text`: a named one, one of the user's `own`, or an expression like `ce+triplet:0.5`.

    Raises UserError, with the nearest name, if there is none.
    """
    name = combo_name(text, own)
    return (COMBOS | (own or {})).get(name) or _of_terms(name)


def combo_name(text: str, own: dict[str, Combo] | None = None) -> str:
    """The name under which the combination `text` is known: the same for every way to write it.

    Terms may be named by any word of the field, in any order and with spaces; where they are those of a named
    combination, its name is returned, else an expression without spaces. Raises UserError if there is no such
    combination.
    """
    table = COMBOS | (own or {})
    if text in table:
        return text
    if plain_word(text) in COMBOS:
        return plain_word(text)
    if "+" not in text and not find_term(text.split(":")[0]):
        raise UserError(f"There is no combination {text!r}.{_nearest(text, list(table))} See `handreid combos`.")
    weights = _read_terms(text)
    for name, combo in COMBOS.items():
        if combo.weights == weights and not combo.options and not combo.settings:
            return name
    return expression_of(weights)


def expression_of(weights: dict[str, float]) -> str:
    """The terms as an expression; a weight only where it is not the term's usual one."""
    return "+".join(
        term if weight == TERMS[term].weight.default else f"{term}:{weight:.12g}" for term, weight in weights.items()
    )


def title_of(weights: dict[str, float]) -> str:
    """The title of a combination of these terms."""
    return " + ".join(TERMS[term].title for term in weights) or "No training"


def _of_terms(expression: str) -> Combo:
    weights = _read_terms(expression)
    return Combo(title_of(weights), "A custom combination.", weights)


def _read_terms(expression: str) -> dict[str, float]:
    """The weight of each term of an expression. Raises UserError where one is unknown, repeated, or has no number."""
    weights: dict[str, float] = {}
    for part in expression.split("+"):
        word, _, weight = (piece.strip() for piece in part.partition(":"))
        term = term_called(word, repr(expression))
        if term in weights:
            raise UserError(f"The loss term {term!r} appears twice in {expression!r}: write it once, with its weight.")
        try:
            weights[term] = float(weight) if weight else TERMS[term].weight.default
        except ValueError:
            raise UserError(f"The weight {weight!r} in {expression!r} is not a number.") from None
    return weights


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known)}."
