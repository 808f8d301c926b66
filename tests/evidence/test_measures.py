"""Oracles 1 to 6 and 10: measures, calibration and bounds against values known in advance."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest

from engine.contract.errors import UserError
from engine.data.people import People
from handreid_tui.evidence.bounds import bounds
from handreid_tui.evidence.cross_fit import calibrate, cross_fitted
from handreid_tui.evidence.evidence import worth_of
from handreid_tui.evidence.likelihood_ratio import Calibrator, fit, isotonic
from handreid_tui.evidence.measures import best_log_ratios, cllr, cllr_min, exceeding, expected_entropy
from handreid_tui.evidence.pairs import Pairs, Shape, pair_scores
from tests.evidence.scores import hands_of, repeated, two_classes

LN10 = math.log(10)


def test_a_ratio_of_one_costs_one_bit_and_cannot_be_calibrated_better() -> None:  # oracle 1
    found = two_classes(np.zeros(30), np.zeros(70))
    assert cllr(*found) == pytest.approx(1, abs=1e-12)
    assert cllr_min(*found) == pytest.approx(1, abs=1e-12)
    assert expected_entropy(*found, 0.5)[0] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("d", "expected"), [(0.5, 0.95627), (1, 0.839253), (2, 0.514056), (3, 0.240021), (4, 0.087178)]
)
def test_calibrated_gaussians_cost_what_theory_says(d: float, expected: float) -> None:  # oracle 2
    random, draws = np.random.default_rng(3), 200_000
    one, other = (random.normal(sign * d * d / 2, d, draws) for sign in (1, -1))
    found = two_classes(one, other)
    assert cllr(*found) == pytest.approx(expected, abs=0.005)
    assert cllr_min(*found) == pytest.approx(expected, abs=0.005)
    if d <= 2:  # beyond, the mean rests on a handful of draws
        assert np.exp(other).mean() == pytest.approx(1, abs=0.12)


def test_a_binary_source_costs_its_entropy() -> None:  # oracle 3
    high, low = math.log(9), -math.log(9)
    one, other = np.repeat([high, low], [90, 10]), np.repeat([high, low], [10, 90])
    assert cllr(*two_classes(one, other)) == pytest.approx(0.468996, abs=1e-6)
    assert cllr(*two_classes(-one, -other)) == pytest.approx(3.004936, abs=1e-6)
    assert cllr_min(*two_classes(-one, -other)) == pytest.approx(1, abs=1e-12)
    constant = np.full(50, math.log(100))
    assert cllr(*two_classes(constant, constant)) == pytest.approx(3.336283, abs=1e-6)


def test_pooled_adjacent_violators() -> None:  # oracle 4
    same = np.array([0, 0, 1, 0, 1, 1], bool)
    weight = np.full(6, 1 / 3)
    p = isotonic(np.arange(6.0), same, weight)
    assert p.tolist() == pytest.approx([0, 0, 0.5, 0.5, 1, 1])
    assert np.exp(best_log_ratios(np.arange(6.0), same, weight)).tolist() == pytest.approx([0, 0, 1, 1, np.inf, np.inf])
    assert cllr_min(np.arange(6.0), same, weight) == pytest.approx(1 / 3)
    tied = np.array([0.0, 1, 1, 2]), np.array([0, 0, 1, 1], bool), np.full(4, 0.5)
    assert cllr_min(*tied) == pytest.approx(0.5)


def test_the_best_cost_does_not_change_under_an_increasing_map() -> None:  # oracle 4
    random = np.random.default_rng(0)
    score, same, weight = two_classes(random.normal(1, 1, 200), random.normal(0, 1, 300))
    expected = cllr_min(score, same, weight)
    for mapped in (np.exp(score), score**3, np.arctan(score), 5 * score - 2):
        assert cllr_min(mapped, same, weight) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("persons", "pairs"), [(71, 2485), (24, 276), (20, 190)])
def test_bounds_of_separated_scores(persons: int, pairs: int) -> None:  # oracle 5
    score, same, weight = two_classes(np.full(persons, 60.0), np.full(pairs, -60.0))
    found = bounds(score, same, weight, persons, pairs)
    assert found.upper == pytest.approx(math.log10((pairs + 1) * persons / (persons + 1)), abs=0.0101)
    assert found.lower == pytest.approx(-math.log10((persons + 1) * pairs / (pairs + 1)), abs=0.0101)
    if persons == 71:
        assert (found.upper, found.lower) == (pytest.approx(3.39, abs=0.011), pytest.approx(-1.86, abs=0.011))


def test_bounds_hold_a_ratio_of_one_where_nothing_is_told_apart() -> None:
    random = np.random.default_rng(1)
    found = bounds(*two_classes(random.normal(0, 1, 500), random.normal(0, 1, 500)), 30, 435)
    assert found.lower <= 0 <= found.upper
    assert found.upper < 1


def test_the_oracle_package_finds_the_same() -> None:  # oracle 6, where `lir` is installed
    metrics, bayes = pytest.importorskip("lir.metrics"), pytest.importorskip("lir.algorithms.bayeserror")
    data = pytest.importorskip("lir.data.models")
    random = np.random.default_rng(5)
    for spread in (0.5, 1.0, 2.0):
        score, same, weight = two_classes(random.normal(2, spread, 300), random.normal(-2, spread, 900))
        labels = same.astype(int)

        def theirs(score: np.ndarray = score, labels: np.ndarray = labels) -> Any:
            return data.LLRData(features=score[:, None] / LN10, labels=labels.copy())

        assert cllr(score, same, weight) == pytest.approx(metrics.cllr(theirs()), abs=1e-9)
        assert cllr_min(score, same, weight) == pytest.approx(metrics.cllr_min(theirs()), abs=1e-9)
        takes_data = "llrdata" in inspect.signature(bayes.elub).parameters  # since lir 1.8
        lower, upper = bayes.elub(theirs()) if takes_data else bayes.elub(score / LN10, labels)
        found = bounds(score, same, weight, int(same.sum()), int((~same).sum()))
        assert (found.lower, found.upper) == (pytest.approx(lower, abs=0.0101), pytest.approx(upper, abs=0.0101))


def test_repeating_the_pairs_of_a_person_changes_nothing() -> None:  # oracle 10
    features, identity = hands_of(25, 4, 0.6, seed=1)
    pairs = pair_scores(features, People.of(identity), Shape())
    again = repeated(pairs, person=3, times=7)
    assert len(again.score) > len(pairs.score)

    def figures(some: Pairs) -> list[float]:
        log_ratio = cross_fitted(some)
        parts = log_ratio, some.same, some.weight
        found = calibrate(some)
        tippett = exceeding(log_ratio[~some.same], some.weight[~some.same], np.array([0.0, LN10]))
        return [
            cllr(*parts),
            cllr_min(some.score, some.same, some.weight),
            *expected_entropy(*parts, np.array([0.1, 0.5])),
            found.calibrator.alpha,
            found.calibrator.beta,
            found.bounds.lower,
            found.bounds.upper,
            *tippett,
            some.mean(log_ratio, same=True).value,
            some.mean(np.exp(log_ratio), same=False).low,
            some.persons,
            some.person_pairs,
        ]

    assert figures(again) == pytest.approx(figures(pairs), abs=1e-9)


def test_calibration_finds_the_line_that_gaussians_have() -> None:
    random = np.random.default_rng(2)
    d, offset, scale = 1.5, 0.3, 0.05
    one, other = (random.normal(sign * d * d / 2, d, 100_000) for sign in (1, -1))
    score, same, weight = two_classes(offset + scale * one, offset + scale * other)
    found = fit(score, same, weight)
    assert found.beta * scale == pytest.approx(1, abs=0.02)
    assert found.alpha + found.beta * offset == pytest.approx(0, abs=0.02)


def test_scores_that_speak_against_the_same_person_are_an_error() -> None:
    with pytest.raises(UserError, match="lower than those of different people"):
        fit(*two_classes(np.array([0.1, 0.2, 0.3]), np.array([0.7, 0.8, 0.9])))


def test_a_constant_score_gives_a_ratio_of_one() -> None:
    assert fit(*two_classes(np.full(9, 0.7), np.full(9, 0.7))) == Calibrator(0.0, 0.0)


@pytest.mark.long
def test_the_interval_of_the_best_cost_covers_what_such_samples_cost() -> None:
    people, images, random = 24, 3, np.random.default_rng(0)
    number = np.repeat(np.arange(people), images)
    found = []
    for _ in range(100):
        raw = random.normal(size=(people, 8))[number] + 0.9 * random.normal(size=(len(number), 8))
        features = raw / np.linalg.norm(raw, axis=1, keepdims=True)
        pairs = pair_scores(features, People.of(number.astype(str)), Shape())
        found.append(worth_of(pairs, np.zeros(len(pairs.score))).cllr_min)
    mean = np.mean([each.value for each in found])
    assert 0.88 <= np.mean([each.low <= mean <= each.high for each in found]) <= 0.99
