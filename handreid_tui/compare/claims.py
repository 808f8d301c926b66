"""Does each loss do what it is said to do? Each claim against the same combination without that term."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from engine.contract.errors import UserError
from handreid_tui.compare import embedding_shape
from handreid_tui.compare.evaluation import Evaluation
from handreid_tui.compare.finished_run import FinishedRun
from handreid_tui.compare.resampling import RESAMPLES
from handreid_tui.compare.statistics import ALPHA, Difference, Spread, holm, paired_difference, spread
from handreid_tui.compare.table import Pairs, Row, Table, paired_runs

Figure = Callable[[embedding_shape.Floats, embedding_shape.Ints], embedding_shape.Floats]


@dataclass(frozen=True)
class Claim:
    """What a term is said to do, and the figure that shows it."""

    term: str
    says: str
    figure: str
    unit: str
    better: Literal["higher", "lower"]
    measure: Figure


CLAIMS = (
    Claim(
        "triplet",
        "identities are further apart than images of one identity",
        "silhouette",
        "",
        "higher",
        embedding_shape.silhouette,
    ),
    Claim("center", "clusters are tighter", "relative radius", "", "lower", embedding_shape.relative_radius),
    Claim("arcface", "the angular margin is larger", "angular margin", "°", "higher", embedding_shape.angular_margin),
)


@dataclass(frozen=True)
class Finding:
    """A claim measured on one pair of rows. Without numbers, `reason` says why it could not be."""

    claim: Claim
    combo: str
    without: str | None
    values: tuple[Spread, Spread] | None = None
    difference: Difference | None = None
    p_adjusted: float | None = None
    reason: str | None = None

    @property
    def outcome(self) -> Literal["held", "not held", "not distinguishable", "not measured"]:
        """Held: the difference goes the claimed way and is not chance. Not held: it goes the other way, as surely."""
        if self.difference is None or self.p_adjusted is None:
            return "not measured"
        if not self.p_adjusted <= ALPHA:
            return "not distinguishable"
        return "held" if (self.difference.estimate > 0) == (self.claim.better == "higher") else "not held"


def check_claims(table: Table, resamples: int = RESAMPLES) -> list[Finding]:
    """Each claim on every row that has its term, against the row that differs in nothing but that term.

    p-values are adjusted over all findings of the table. A claim that nothing could be measured of says why.
    """
    rows = [row for row in table.rows if row.runs]
    found = [_measure(claim, row, rows, resamples) for claim in CLAIMS for row in rows if _has(row, claim.term)]
    missing = [
        Finding(claim, claim.term, None, reason=f"No finished run of this protocol has the term {claim.term}.")
        for claim in CLAIMS
        if not any(_has(row, claim.term) for row in rows)
    ]
    measured = [finding for finding in found if finding.difference]
    settled = {finding.claim.term for finding in measured}
    found = [finding for finding in found if finding.difference or finding.claim.term not in settled]
    adjusted = dict(zip(map(id, measured), holm([f.difference.p for f in measured if f.difference]), strict=True))
    found = [Finding(f.claim, f.combo, f.without, f.values, f.difference, adjusted.get(id(f)), f.reason) for f in found]
    return sorted([*found, *missing], key=lambda finding: CLAIMS.index(finding.claim))


def _measure(claim: Claim, row: Row, rows: list[Row], resamples: int) -> Finding:
    plain = _settings_without(row, claim.term)
    untuned = [] if row.tuning else [other for other in rows if not other.tuning]  # how a search varies is not known
    other = next((other for other in untuned if other.runs[0].settings == plain), None)
    if other is None:
        terms = " + ".join(term for term in row.runs[0].config.loss if term != claim.term)
        return Finding(claim, row.label, None, reason=f"There is no run of {terms or 'no term'} in this configuration.")
    try:
        pairs = paired_runs(row.runs, other.runs)
        ours, theirs, counts = _sums(claim.measure, pairs)
    except UserError as error:
        return Finding(claim, row.label, other.label, reason=str(error))
    difference = paired_difference(ours, theirs, counts, resamples)
    total = counts.sum()
    values = (spread((ours.sum(axis=(1, 2)) / total).tolist()), spread((theirs.sum(axis=(1, 2)) / total).tolist()))
    return Finding(claim, row.label, other.label, values, difference)


def _sums(measure: Figure, pairs: Pairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The figure's sums for both sides, [S, 1, I], and the number of images, [1, I], of the searched identities."""
    first = pairs[0][0].evaluation
    identity, rows = _images(first)
    counts = np.bincount(identity).astype(float)[None]

    def sums(run: FinishedRun) -> np.ndarray:
        evaluation = run.evaluation
        if evaluation.names != first.names:
            raise UserError(f"{run.name} was tested on other images.")
        return measure(evaluation.features[rows].astype(float), identity)[None]

    return np.stack([sums(a) for a, _ in pairs]), np.stack([sums(b) for _, b in pairs]), counts


def _images(evaluation: Evaluation) -> tuple[np.ndarray, np.ndarray]:
    """Identity numbers and rows of the images of the searched identities with two images or more. No distractors."""
    names, counts = np.unique(evaluation.identity, return_counts=True)
    searched = set(evaluation.query_identities) & set(names[counts > 1].tolist())
    rows = np.flatnonzero(np.isin(evaluation.identity, sorted(searched)))
    if len(searched) < 2:
        raise UserError("Fewer than two test identities have two images.")
    return np.unique(evaluation.identity[rows], return_inverse=True)[1], rows


def _has(row: Row, term: str) -> bool:
    return term in row.runs[0].config.loss


def _settings_without(row: Row, term: str) -> dict[str, object]:
    settings = row.runs[0].settings
    return {key: value for key, value in settings.items() if not key.startswith(f"loss.{term}.")}
