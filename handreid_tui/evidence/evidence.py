"""Likelihood ratios of one evaluation: what they are worth on people whom their calibrator never saw."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.contract.errors import UserError
from engine.data.people import People, aspect_tested
from engine.search.searches import Floats
from handreid_tui.compare.evaluation import Evaluation
from handreid_tui.evidence.cross_fit import Calibrated, calibrate, cross_fitted, require_people
from handreid_tui.evidence.groups import LEAST_PEOPLE, read_labels
from handreid_tui.evidence.measures import STRENGTHS, cllr_min, cost
from handreid_tui.evidence.pairs import Pairs, Shape, enough, pair_scores
from handreid_tui.evidence.resamples import ResampledEstimate, figure
from handreid_tui.evidence.searches import finite_features

NEAREST = 10  # images of other people that say how typical an image is
TYPICAL = (0.005, 0.995)
CALIBRATIONS = 200  # resamples for the interval of Cllr_min: each takes a regression


@dataclass(frozen=True)
class Material:
    """The test images that take part: features [N, D], their people, and their rows in the evaluation [N]."""

    features: Floats
    people: People
    rows: NDArray[np.int64]
    aspect: str


@dataclass(frozen=True)
class RatioQuality:
    """How good the cross-fitted likelihood ratios are. Strengths: P(LR >= k | different people) for each k."""

    cllr: ResampledEstimate
    cllr_min: ResampledEstimate
    misleading_same: ResampledEstimate
    misleading_different: ResampledEstimate
    too_strong: dict[int, ResampledEstimate]
    mean_ratio_different: ResampledEstimate

    @property
    def cllr_cal(self) -> float:
        return self.cllr.value - self.cllr_min.value


@dataclass(frozen=True)
class GroupCost:
    """Cllr of pairs with a person of a group; None where its people are too few to measure."""

    label: str
    group: str
    people: int
    cllr: ResampledEstimate | None


@dataclass(frozen=True)
class Evidence:
    """The pairs with their cross-fitted ln LR [n], what these are worth, and the calibrator of all people."""

    material: Material
    shape: Shape
    population: str
    pairs: Pairs
    log_ratio: Floats
    worth: RatioQuality
    final: Calibrated
    left_out: int
    groups: tuple[GroupCost, ...] = ()


def material_of(evaluation: Evaluation) -> Material:
    """The images of the aspects that are searched for. Images of other aspects, in merged galleries, take no part."""
    people = People.of(evaluation.identity.tolist())
    queried = np.unique(np.concatenate([trial.query for trial in evaluation.trials]))
    aspects = sorted(set(people.aspect[queried].tolist()))
    rows = np.flatnonzero(np.isin(people.aspect, aspects))
    chosen = People(people.names, people.person[rows], people.aspect[rows])
    return Material(finite_features(evaluation)[rows], chosen, rows, aspect_tested(aspects))


def weigh(evaluation: Evaluation, shape: Shape, population: str = "all", by: list[str] | None = None) -> Evidence:
    """Calibrate, cross-fitted by person, and measure. Raises UserError below 20 people with enough images."""
    material = material_of(evaluation)
    pairs = pairs_of(evaluation, material, shape, population)
    require_people(pairs, str(evaluation.folder))
    log_ratio = cross_fitted(pairs)
    kept = len(np.unique(material.people.person[enough(material.people, shape)]))
    left_out = len(np.unique(material.people.person)) - kept
    found = Evidence(
        material, shape, population, pairs, log_ratio, worth_of(pairs, log_ratio), calibrate(pairs), left_out
    )
    groups = tuple(_groups(evaluation, found, by)) if by else ()
    return Evidence(**{**vars(found), "groups": groups})


def pairs_of(evaluation: Evaluation, material: Material, shape: Shape, population: str = "all") -> Pairs:
    """The pairs of the evaluation, different people from one `population` (`all`, or labels such as `sex,skin`)."""
    groups = None
    if population != "all":
        by = population.split(",")
        whole = People.of(evaluation.identity.tolist()).person
        groups = read_labels(evaluation, whole, by).joined(by)[material.rows]
    return pair_scores(material.features, material.people, shape, groups)


def parse_shape(text: str) -> Shape:
    """`3:2` as three probe and two reference images. Raises UserError on anything else."""
    probe, colon, reference = text.partition(":")
    if not colon or not (probe.isdecimal() and reference.isdecimal()) or not 0 < int(probe) * int(reference) <= 10_000:
        raise UserError(f"--images takes PROBE:REFERENCE, such as 1:1 or 5:3, but got {text!r}.")
    return Shape(int(probe), int(reference))


def parse_population(text: str) -> str:
    """`all`, `sex`, `skin` or `sex,skin`. Raises UserError on anything else."""
    if text not in ("all", "sex", "skin", "sex,skin"):
        raise UserError(f"--population takes all, sex, skin or sex,skin, but got {text!r}.")
    return text


def worth_of(pairs: Pairs, log_ratio: Floats) -> RatioQuality:
    """The measures of ln LR [n]."""
    ratio = np.exp(log_ratio)
    strong = {k: _share(pairs, log_ratio >= math.log(k) - 1e-12, same=False) for k in STRENGTHS}
    return RatioQuality(
        cllr=pairs.balanced_mean(cost(log_ratio, pairs.same)),
        cllr_min=_discrimination(pairs),
        misleading_same=_share(pairs, log_ratio < 0, same=True),
        misleading_different=_share(pairs, log_ratio > 0, same=False),
        too_strong=strong,
        mean_ratio_different=pairs.mean(ratio, same=False),
    )


def _discrimination(pairs: Pairs) -> ResampledEstimate:
    """Cllr_min, with an interval by person: each resample is calibrated at its best anew."""
    drawn = []
    for weight in pairs.resampled_weights(CALIBRATIONS):
        used = weight > 0
        drawn.append(cllr_min(pairs.score[used], pairs.same[used], weight[used]))
    return figure(cllr_min(pairs.score, pairs.same, pairs.weight), np.array(drawn), pairs.persons)


def _share(pairs: Pairs, marked: NDArray[np.bool_], same: bool) -> ResampledEstimate:
    """A share of a class with its interval cut to [0, 1]; none at all reaches 3 / people."""
    found = pairs.mean(marked.astype(float), same)
    high = min(1.0, 3 / found.people) if found.value <= 0 else min(1.0, found.high)
    return ResampledEstimate(found.value, max(0.0, found.low), high, found.people)


def nearness(features: Floats, person: NDArray[np.int64], other: Floats, other_person: NDArray[np.int64]) -> Floats:
    """Mean of the 10 highest cosines of each feature [N, D] to those of other people [M, D]; [N].

    `person` [N] is -1 for somebody who is none of them.
    """
    score = np.where(person[:, None] == other_person, -np.inf, features @ other.T)
    nearest = np.sort(score, axis=1)[:, -NEAREST:]
    found: Floats = np.where(np.isfinite(nearest), nearest, 0).sum(axis=1) / np.isfinite(nearest).sum(axis=1)
    return found


def typical_range(material: Material) -> tuple[float, float]:
    """Between which values the nearness of 99 % of the calibration's own images lies."""
    own = nearness(material.features, material.people.person, material.features, material.people.person)
    low, high = np.quantile(own, TYPICAL).tolist()
    return low, high


def _groups(evaluation: Evaluation, evidence: Evidence, by: list[str]) -> list[GroupCost]:
    pairs, found = evidence.pairs, []
    whole = People.of(evaluation.identity.tolist()).person
    labels = read_labels(evaluation, whole, by)
    costs = cost(evidence.log_ratio, pairs.same)
    for label in by:
        of_person = dict(zip(whole.tolist(), labels.of_image[label].tolist(), strict=True))
        first, second = (np.array([of_person[each] for each in side.tolist()]) for side in (pairs.a, pairs.b))
        for group in sorted(set(first.tolist()) | set(second.tolist())):
            chosen = (first == group) | (second == group)
            members = len(np.unique(pairs.a[pairs.same & chosen]))
            measured = pairs.only(chosen).balanced_mean(costs[chosen]) if members >= LEAST_PEOPLE else None
            found.append(GroupCost(label, group, members, measured))
    return found
