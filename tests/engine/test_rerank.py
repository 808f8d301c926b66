"""k-reciprocal re-ranking against the definitions of Zhong et al. 2017, written out with sets."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from engine.contract.config import EvaluationConfig
from engine.evaluation.ranking import rank_distances
from engine.search.rerank import rerank

K1, K2, SHARE = 20, 6, 0.3


def by_definition(query: np.ndarray, gallery: np.ndarray, k1: int, k2: int, share: float) -> np.ndarray:
    """Equations 1 to 12, one pair at a time; distances are squared, over the largest of their row."""
    points = [row.astype(float) for row in (*query, *gallery)]
    everybody = range(len(points))
    squared = [[float(((a - b) ** 2).sum()) for b in points] for a in points]
    d = [[value / max(row) for value in row] for row in squared]

    def nearest(p: int, k: int) -> set[int]:
        return set(sorted(everybody, key=lambda g: (d[p][g], g))[: k + 1])

    def reciprocal(p: int, k: int) -> set[int]:
        return {g for g in nearest(p, k) if p in nearest(g, k)}

    def expanded(p: int) -> set[int]:
        own = reciprocal(p, k1)
        found = set(own)
        for g in own:
            of_g = reciprocal(g, round(k1 / 2))
            if len(own & of_g) > 2 / 3 * len(of_g):
                found |= of_g
        return found

    vectors = []
    for p in everybody:
        weights = {g: math.exp(-d[p][g]) for g in expanded(p)}
        vectors.append([weights.get(g, 0.0) / sum(weights.values()) for g in everybody])
    averaged = []
    for p in everybody:
        near = sorted(everybody, key=lambda g: (d[p][g], g))[:k2]
        averaged.append([sum(vectors[n][g] for n in near) / k2 for g in everybody])
    answer = np.empty((len(query), len(gallery)))
    for q in range(len(query)):
        for n in range(len(gallery)):
            g = len(query) + n
            least = sum(min(a, b) for a, b in zip(averaged[q], averaged[g], strict=True))
            most = sum(max(a, b) for a, b in zip(averaged[q], averaged[g], strict=True))
            answer[q, n] = (1 - share) * (1 - least / most) + share * d[q][g]
    return answer


def features(seed: int, people: int, images: int, dims: int = 6, spread: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    means = np.repeat(generator.normal(size=(people, dims)), images, axis=0)
    found = means + spread * generator.normal(size=means.shape)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32), np.arange(people).repeat(images)


@pytest.mark.parametrize(("k1", "k2", "share"), [(K1, K2, SHARE), (5, 2, 0.5), (7, 1, 0.0), (90, 6, 0.3)])
def test_distances_are_those_of_the_paper(k1, k2, share):
    some, _ = features(k1, people=10, images=5)
    query, gallery = some[::2], some[1::2]
    expected = by_definition(query, gallery, k1, k2, share)
    assert rerank(query, gallery, k1, k2, share) == pytest.approx(expected, abs=2e-6)


def test_the_parameters_are_those_of_the_paper():
    some, _ = features(3, people=8, images=6)
    expected = by_definition(some[:20], some[20:], K1, K2, SHARE)
    assert rerank(some[:20], some[20:]) == pytest.approx(expected, abs=2e-6)


def test_it_feeds_on_the_other_queries_of_a_person():
    """With one gallery image a person: better where each has 13 queries, worse where each has one."""

    def gain(images: int) -> float:
        some, identity = features(1, 40, images, dims=32, spread=1.2)
        first = np.arange(len(some)) % images == 0
        plain, reranked = -some[~first] @ some[first].T, rerank(some[~first], some[first])
        return mean_precision(reranked, identity[~first]) - mean_precision(plain, identity[~first])

    assert gain(14) > 0.1 and gain(2) < -0.03


def mean_precision(distance: np.ndarray, match: np.ndarray) -> float:
    """mAP where each query has one match, at the place `match` [Q] of the gallery."""
    own = distance[np.arange(len(match)), match]
    return float(np.mean(1 / (distance <= own[:, None]).sum(axis=1)))


def test_ranks_follow_the_distances_and_ties_count_against_the_model():
    distance = torch.tensor([[0.1, 0.2, 0.2, 0.9], [0.5, 0.5, 0.5, 0.5]])
    found = rank_distances(distance, torch.tensor([2, 7]), torch.tensor([1, 2, 3, 2]))
    assert found.rank.tolist() == [3, 0] and found.ap[0].item() == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert math.isnan(found.ap[1].item())


def test_it_is_off_unless_asked_for():
    assert EvaluationConfig().rerank is False
