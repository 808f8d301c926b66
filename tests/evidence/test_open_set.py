"""Oracles 7 to 9 and 14: open-set rates against formulas, full enumeration, and simulated coverage."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from engine.search.open_set import (
    false_negative_rate,
    false_positive_rate,
    modelled_false_positive_rate,
    selectivity,
    threshold_at,
)
from handreid_tui.evidence.open_set import OpenSet
from handreid_tui.evidence.searches import searches_of_trials
from tests.evidence.scores import hands_of, made_searches
from tests.support.planted_runs import clusters, identities, plant


@pytest.mark.parametrize("people", [1, 10, 70])
def test_uniform_scores_follow_their_formulas(people: int) -> None:  # oracle 7
    random, count = np.random.default_rng(1), 100_000
    searches = made_searches(random.random(count), random.random((count, people)))
    for fpir in (0.5, 0.1, 0.01):
        threshold = threshold_at(searches, fpir)
        expected = (1 - fpir) ** (1 / people)
        assert threshold == pytest.approx(expected, abs=0.006)
        assert false_positive_rate(searches, threshold) <= fpir
        assert false_negative_rate(searches, threshold) == pytest.approx(threshold, abs=0.005)
        assert selectivity(searches, 0.8) == pytest.approx(0.2 * people, rel=0.05)


def test_smaller_galleries_are_exact() -> None:  # oracle 8: every sub-gallery of 8 people
    random = np.random.default_rng(2)
    own, others = random.random(6).round(1), random.random((6, 7)).round(1)
    searches = made_searches(own, others)
    for size in range(1, 8):
        for threshold in (-np.inf, 0.3, 0.55, 0.85):
            reached = [any(row[list(drawn)] >= threshold) for row in others for drawn in combinations(range(7), size)]
            assert false_positive_rate(searches, threshold, size) == pytest.approx(np.mean(reached), abs=1e-12)
            for rank in (1, 2, 5):
                hits = [
                    mine >= threshold and (row[list(drawn)] >= mine).sum() < rank
                    for mine, row in zip(own, others, strict=True)
                    for drawn in combinations(range(7), size - 1)
                ]
                found = false_negative_rate(searches, threshold, rank, size)
                assert found == pytest.approx(1 - np.mean(hits), abs=1e-12)
    for threshold in (0.3, 0.85):
        assert false_positive_rate(searches, threshold, 7) == false_positive_rate(searches, threshold)
        for rank in (1, 2, 5):
            whole = false_negative_rate(searches, threshold, rank)
            assert false_negative_rate(searches, threshold, rank, 8) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0])
def test_the_first_rank_without_a_threshold_is_the_reports_rank_1(tmp_path: Path, spread: float) -> None:  # oracle 8
    people = identities()
    run = plant(tmp_path, 1, "ce", clusters(people, spread), people)
    searches = searches_of_trials(run.evaluation)
    assert false_negative_rate(searches, rank=1) == pytest.approx(1 - run.summary["rank1"], abs=1e-12)


def test_a_constant_feature_misses_everybody(tmp_path: Path) -> None:  # oracle 9
    people = identities()
    features = np.tile(clusters(people, 0.5)[:1], (len(people), 1))
    run = plant(tmp_path, 1, "ce", features, people)
    open_set = OpenSet(searches_of_trials(run.evaluation))
    for fpir in (0.9, 0.5, 0.1, 0.01):
        found = open_set.false_negatives_at(fpir)
        assert (found.value, found.high) == (1, 1)
        assert np.isfinite([found.low, found.high]).all()
    assert open_set.missed_within(1).value == 1


def test_rates_have_no_nan_where_scores_are_perfect() -> None:  # oracle 9
    searches = made_searches(np.ones(30), np.zeros((30, 29)))
    found = OpenSet(searches).false_negatives_at(0.01)
    assert (found.value, found.low, found.high) == (0, 0, pytest.approx(3 / 30))


def test_a_query_without_mate_is_searched_without_it_alone() -> None:
    others = np.array([[0.2, 0.4], [0.3, 0.9]])
    searches = made_searches(np.array([0.5, np.nan]), others)
    assert false_positive_rate(searches, 0.8) == 0.5
    assert false_negative_rate(searches, 0.8) == 1
    assert false_negative_rate(searches, 0.5) == 0
    assert false_negative_rate(searches, rank=1) == 0


def test_the_same_person_in_another_aspect_is_neither_mate_nor_other(tmp_path: Path) -> None:
    people = np.array([f"dorsal-right/{p}" for p in identities(8).tolist()])
    features = clusters(people, 0.4)
    plain = searches_of_trials(plant(tmp_path, 1, "ce", features, people).evaluation)
    mixed = people.copy()
    mixed[people == people[0]] = people[0].replace("1000", "1001")
    mixed[people == people[0]] = "palmar-left/1001"
    found = searches_of_trials(plant(tmp_path, 2, "ce", features, mixed).evaluation)
    assert set(plain.count.tolist()) == {7}
    searched = np.array(found.people)[found.person]
    assert set(found.count[searched == "1001"].tolist()) == {6}
    assert np.isfinite(found.own).all()


def test_the_model_agrees_where_comparisons_are_independent() -> None:
    random = np.random.default_rng(3)
    searches = made_searches(random.random(50_000), random.random((50_000, 20)))
    exact = false_positive_rate(searches, 0.99)
    assert modelled_false_positive_rate(searches, 0.99, 20) == pytest.approx(exact, abs=0.005)


def _searches(people: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Own and others' scores and the person of each query, one gallery image each; 4 queries a person."""
    features, _ = hands_of(people, 5, 0.9, seed)
    each = features.reshape(people, 5, -1)
    score = each[:, 1:].reshape(people * 4, -1) @ each[:, 0].T
    person = np.repeat(np.arange(people), 4)
    own = score[np.arange(len(person)), person]
    score[np.arange(len(person)), person] = -np.inf
    return own, score, person


@pytest.mark.long
@pytest.mark.parametrize("people", [24, 71])
def test_intervals_cover(people: int) -> None:  # oracle 14
    fpir, population = 0.1, [_searches(people, seed) for seed in range(10_000, 11_000)]
    own = np.concatenate([each[0] for each in population])
    best = np.sort(np.concatenate([each[1].max(axis=1) for each in population]))
    truth = (own < best[round((1 - fpir) * len(best))]).mean()
    held = 0
    for seed in range(200):
        found = OpenSet(made_searches(*_searches(people, seed))).false_negatives_at(fpir)
        held += found.low <= truth <= found.high
    assert 0.91 <= held / 200 <= 0.98
