"""Every loss term, declared once: TERMS feeds the checks of a configuration, the objective, the optimizers, `handreid
combos`, the Launch screen, the tuner and the table in docs/losses.md.

A new term is an entry of TERMS and an entry of `engine.losses.LOSSES`. No torch here.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, field
from typing import Literal

from engine.contract.errors import UserError

Value = float | str


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, for a tuner to draw from; `log`: evenly in the logarithm."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Option:
    """A number that a term takes: its default, what it means, and which values are allowed.

    Allowed are finite numbers from `low` to `high`, both included unless `open_low` or `open_high`, and the `words`.
    `tune`: the range that tuning draws from; None where it is left alone.
    """

    default: float
    means: str
    low: float = 0.0
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    words: tuple[str, ...] = ()
    tune: Range | None = None

    def problem(self, value: Value) -> str:
        """Why `value` is not allowed, as the end of a sentence; empty where it is."""
        if value in self.words:
            return ""
        if isinstance(value, str) or not math.isfinite(value):
            return " or ".join(["must be a number", *self.words])
        if value < self.low or (self.open_low and value == self.low):
            if self.low:
                return f"must be {'above' if self.open_low else 'at least'} {self.low:g}"
            return "must be positive" if self.open_low else "must be positive or 0"
        if value > self.high or (self.open_high and value == self.high):
            return f"must be {'below' if self.open_high else 'at most'} {self.high:.3g} ({self.means})"
        return ""


WEIGHT = "factor in the total loss"


@dataclass(frozen=True)
class Term:
    """One loss: its name in the field, what it does to the embedding, and everything that the trainer must know of it.

    - `side`: the feature that it uses, before or after the BN neck. Terms of Euclidean distances use the one before it,
      terms that classify the one after it (Luo et al. 2019, section 3.6: they pull a feature in different ways). So do
      terms of cosines: the neck takes off the mean that all features share, which makes all cosines large.
    - `needs_pairs`: it compares images of one identity, so a batch must hold at least two of each.
    - `own_rate`: the option that is the learning rate of a plain SGD for this term's parameters alone, whose steps
      depend neither on the schedule nor on the term's weight; empty where they belong to the heads.
    - `texts`: for a term that compares images with texts, whether a first stage learns a text for each identity
      (`learnt`) or each image has a text of its own (`inverted`). It uses one feature only, the last of the encoder,
      which shares its space with the texts.
    - `watches`: what it measures beside its loss, by name; each streams as the curve `term/TERM/NAME`.
    - `aliases`: other names of the field for it.
    - `code`: the file of `engine/losses` with the formula.
    """

    title: str
    does: str
    formula: str
    source: str
    code: str
    side: Literal["before", "after"]
    options: dict[str, Option] = field(default_factory=dict)
    weight: Option = field(default_factory=lambda: Option(1.0, WEIGHT))
    needs_pairs: bool = False
    own_rate: str = ""
    texts: Literal["", "learnt", "inverted"] = ""
    watches: dict[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    @property
    def all_options(self) -> dict[str, Option]:
        """The weight and every other option by name."""
        return {"weight": self.weight} | self.options

    @property
    def defaults(self) -> dict[str, Value]:
        """The weight and every other option with its default value."""
        return {name: option.default for name, option in self.all_options.items()}


WEIGHT_BESIDE_OTHERS = Option(1.0, WEIGHT, tune=Range(0.1, 3.0, log=True))
SCALE = Option(30.0, "scale of the cosines, s", open_low=True, tune=Range(15.0, 240.0, log=True))
TEXT_SCALE = Option(0.0, "factor s on the cosine of image and text; 0: their dot product")

TERMS: dict[str, Term] = {
    "ce": Term(
        title="CE",
        does="Classifies each image into its identity.",
        formula="(1 - e) · nll + e · mean over k of -log p_k",
        source="Szegedy et al. 2016, section 7 (label smoothing)",
        code="cross_entropy.py",
        side="after",
        options={
            "smoothing": Option(
                0.1, "share of the target spread over all classes", high=1.0, open_high=True, tune=Range(0.0, 0.2)
            )
        },
        aliases=("cross_entropy", "softmax", "id", "xent"),
    ),
    "triplet": Term(
        title="Triplet",
        does="Brings images of one identity closer to each other than to those of any other identity.",
        formula="mean over anchors of max(0, m + hardest positive - hardest negative distance)",
        source="Hermans et al. 2017, section 2 (batch hard)",
        code="triplet.py",
        side="before",
        options={
            "margin": Option(
                0.3, "distance between the hardest positive and negative", words=("soft",), tune=Range(0.05, 0.6)
            )
        },
        weight=WEIGHT_BESIDE_OTHERS,
        needs_pairs=True,
        aliases=("batch_hard", "batch_hard_triplet"),
    ),
    "center": Term(
        title="Center",
        does="Pulls images of each identity towards a learned center, for compact clusters.",
        formula="½ mean ‖x - c_y‖²; the centers have their own SGD",
        source="Wen et al. 2016, section 3",
        code="center.py",
        side="before",
        options={"lr": Option(0.5, "learning rate of the centers")},
        weight=Option(5e-4, WEIGHT, tune=Range(1e-5, 1e-2, log=True)),
        own_rate="lr",
    ),
    "arcface": Term(
        title="ArcFace",
        does="Classifies by angle, with an angular margin between identities.",
        formula="cross-entropy of s·cos(θ_y + m) against s·cos θ_j",
        source="Deng et al. 2019, section 3",
        code="arcface.py",
        side="after",
        options={
            "scale": SCALE,
            "margin": Option(0.3, "an angle in radians", high=math.pi / 2, tune=Range(0.1, 0.7)),
        },
    ),
    "cosface": Term(
        title="CosFace",
        does="Classifies by angle, with a margin between cosines.",
        formula="cross-entropy of s·(cos θ_y - m) against s·cos θ_j",
        source="Wang et al. 2018, section 3",
        code="cosface.py",
        side="after",
        options={"scale": SCALE, "margin": Option(0.35, "a cosine", tune=Range(0.1, 0.65))},
    ),
    "facenet": Term(
        title="FaceNet",
        does="Brings each image closer to its identity than to semi-hard images of others, on the unit sphere.",
        formula="mean over pairs with a semi-hard negative of d(a, p) - d(a, n) + m, with d = ‖z_i - z_j‖²",
        source="Schroff et al. 2015, section 3 (semi-hard)",
        code="facenet.py",
        side="after",
        options={"margin": Option(0.2, "squared distance between positive and negative", tune=Range(0.05, 0.6))},
        weight=WEIGHT_BESIDE_OTHERS,
        needs_pairs=True,
        watches={"active": "share of positive pairs with a semi-hard negative"},
        aliases=("semi_hard", "semi_hard_triplet"),
    ),
    "supcon": Term(
        title="SupCon",
        does="Contrasts all images of one identity with all others in the batch.",
        formula="mean over anchors i and positives p of -log(exp(z_i z_p / t) / Σ_a exp(z_i z_a / t))",
        source="Khosla et al. 2020, section 3, equation 2",
        code="supcon.py",
        side="after",
        options={
            "temperature": Option(
                0.1, "temperature t, by which the cosines are divided", open_low=True, tune=Range(0.02, 0.5, log=True)
            )
        },
        weight=WEIGHT_BESIDE_OTHERS,
        needs_pairs=True,
    ),
    "circle": Term(
        title="Circle",
        does="Weights each pair by how far its similarity is from the optimum.",
        formula="log(1 + Σ_n exp(g a_n (s_n - m)) Σ_p exp(-g a_p (s_p - 1 + m)))",
        source="Sun et al. 2020, section 3",
        code="circle.py",
        side="after",
        options={
            "margin": Option(0.25, "relaxation of the optimum, m", tune=Range(0.1, 0.4)),
            "gamma": Option(80.0, "scale of the similarities, g", open_low=True, tune=Range(16.0, 256.0, log=True)),
        },
        weight=WEIGHT_BESIDE_OTHERS,
        needs_pairs=True,
    ),
    "i2t": Term(
        title="Image-to-text",
        does="Classifies each image by the texts of the identities, learned in a first stage.",
        formula="cross-entropy of v·t_j over the texts t of all identities, smoothed",
        source="Li et al. 2023, CLIP-ReID, second stage",
        code="image_to_text.py",
        side="before",
        options={
            "smoothing": Option(0.1, "share of the target spread over all classes", high=1.0, open_high=True),
            "scale": TEXT_SCALE,
        },
        weight=WEIGHT_BESIDE_OTHERS,
        texts="learnt",
        aliases=("image_to_text", "i2tce"),
    ),
    "inversion": Term(
        title="Inversion",
        does="Maps each image to a word (textual inversion) and contrasts images with texts that contain it.",
        formula="mean over i, j of one identity of -log softmax_j(v_i·t_j), and of the transpose",
        source="Baisa 2025, CLIP-HandID",
        code="inversion.py",
        side="before",
        options={
            "dropout": Option(0.5, "dropout of the inversion network", high=1.0, open_high=True),
            "scale": TEXT_SCALE,
        },
        weight=WEIGHT_BESIDE_OTHERS,
        texts="inverted",
        aliases=("textual_inversion",),
    ),
}


def plain_word(text: str) -> str:
    """A name as it is compared: lower case, `_` for spaces and hyphens, without `_loss` at its end."""
    return "_".join(text.lower().replace("-", " ").replace("_", " ").split()).removesuffix("_loss")


def find_term(text: str) -> str | None:
    """The term that `text` names, by its own name or another name of the field; None where there is none."""
    if text in TERMS:
        return text
    word = plain_word(text)
    return next((name for name, term in TERMS.items() if word == name or word in term.aliases), None)


def term_called(text: str, where: str) -> str:
    """The term that `text` names in `where`. Raises UserError, with the nearest name, if there is none."""
    if name := find_term(text):
        return name
    known = [*TERMS, *(alias for term in TERMS.values() for alias in term.aliases)]
    near = difflib.get_close_matches(plain_word(text), known, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(TERMS)}."
    raise UserError(f"There is no loss term {text!r} in {where}. {hint}")


def checked_options(term: str, options: dict[str, Value]) -> dict[str, Value]:
    """Every option of `term`, from `options` or by default. Raises ValueError on an unknown option or a wrong value."""
    known = TERMS[term].all_options
    if unknown := options.keys() - known.keys():
        raise ValueError(f"{term} has no option {min(unknown)!r}, only {', '.join(known)}")
    for name, value in options.items():
        if problem := known[name].problem(value):
            raise ValueError(f"{term}.{name} is {value!r}, but {problem}")
    return TERMS[term].defaults | options


def terms_table() -> str:
    """The table of terms of docs/losses.md, in Markdown."""
    rows = ["| term | formula | weight | options | feature | code |", "|---|---|---|---|---|---|"]
    for name, term in TERMS.items():
        options = ", ".join(
            " or ".join([f"{key} {option.default:g}", *(f"`{word}`" for word in option.words)])
            for key, option in term.options.items()
        )
        cells = (f"`{name}`", term.formula, f"{term.weight.default:g}", options or "–", f"{term.side} the neck")
        rows.append(f"| {' | '.join(cells)} | [`{term.code}`](../engine/losses/{term.code}) |")
    return "\n".join(rows)
