"""FaceNet's semi-hard triplets, in float64 against a triple loop, geometry, and pytorch-metric-learning's miner."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.miners import TripletMarginMiner
from torch import Tensor
from torch.nn.functional import normalize

from engine.contract.terms import TERMS
from engine.losses import FaceNet
from engine.losses.objective import Objective
from engine.model.reid_model import Feature
from handreid_tui.history import curve, ingest, open_history
from tests.support.training import events_of, small_config, train_in

LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 3, 4, 4])


def close_together(seed: int, count: int = len(LABELS), dim: int = 4) -> Tensor:
    """Features of many semi-hard triplets: directions around a common one, of different lengths."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, dim, generator=generator, dtype=torch.float64) * 0.4
    x[:, 0] += 1
    return x * (1 + torch.rand(count, 1, generator=generator, dtype=torch.float64))


def admissible(x: Tensor, margin: float) -> dict[tuple[int, int], list[int]]:
    """The semi-hard negatives of each positive pair that has one, by the paper's words."""
    z = normalize(x)
    d = (z[:, None] - z).square().sum(2)
    found: dict[tuple[int, int], list[int]] = {}
    for a in range(len(x)):
        for p in range(len(x)):
            if p == a or LABELS[p] != LABELS[a]:
                continue
            near = [n for n in range(len(x)) if LABELS[n] != LABELS[a] and d[a, p] < d[a, n] < d[a, p] + margin]
            if near:
                found[a, p] = near
    return found


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("margin", [0.05, 0.2, 1.0])
def test_the_loss_is_that_of_a_triple_loop(seed: int, margin: float) -> None:
    ours = close_together(seed).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    z = normalize(theirs)
    d = (z[:, None] - z).square().sum(2)
    triplets = [(a, p, min(near, key=lambda n: d[a, n].item())) for (a, p), near in admissible(theirs, margin).items()]
    assert triplets
    expected = torch.stack([d[a, p] - d[a, n] + margin for a, p, n in triplets]).mean()
    loss = FaceNet(4, 5, margin)
    value = loss(ours, LABELS)
    torch.testing.assert_close(value, expected)
    value.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    ordered_pairs = sum(int(count) * (int(count) - 1) for count in LABELS.bincount())
    assert loss.watched["active"].item() == pytest.approx(len(triplets) / ordered_pairs)


@pytest.mark.parametrize("seed", range(8))
def test_the_semi_hard_negatives_are_the_oracles(seed: int) -> None:
    x = close_together(seed)
    miner = TripletMarginMiner(0.2, "semihard", distance=LpDistance(normalize_embeddings=True, p=2, power=2))
    anchor, positive, negative = (index.tolist() for index in miner(x, LABELS))
    theirs: dict[tuple[int, int], set[int]] = {}
    for a, p, n in zip(anchor, positive, negative, strict=True):
        theirs.setdefault((a, p), set()).add(n)
    assert theirs == {pair: set(near) for pair, near in admissible(x, 0.2).items()}


def test_distances_on_a_circle_are_those_of_the_angle() -> None:
    angles = torch.tensor([0.0, 0.3, 0.4], dtype=torch.float64)
    x = torch.stack([angles.cos(), angles.sin()], dim=1)
    near, far = 2 - 2 * math.cos(0.3), 2 - 2 * math.cos(0.4)
    value = FaceNet(2, 2, 0.2)(x, torch.tensor([0, 0, 1]))
    # the second image has its negative nearer than its positive: not semi-hard
    assert value.item() == pytest.approx(near - far + 0.2)


def test_the_length_of_a_feature_does_not_matter() -> None:
    x = close_together(0)
    scaled = x * torch.logspace(-3, 3, len(x), dtype=torch.float64)[:, None]
    torch.testing.assert_close(FaceNet(4, 5)(scaled, LABELS), FaceNet(4, 5)(x, LABELS))


def test_the_gradient_at_the_anchor_is_twice_the_difference_of_negative_and_positive() -> None:
    angles = torch.tensor([0.0, 0.3, 0.4], dtype=torch.float64)
    x = torch.stack([angles.cos(), angles.sin()], dim=1).requires_grad_()
    FaceNet(2, 2, 0.2)(x, torch.tensor([0, 0, 1])).backward()
    z = x.detach()
    free = 2 * (z[2] - z[1])  # on the sphere only the part along it is left
    assert x.grad is not None
    torch.testing.assert_close(x.grad[0], free - (free @ z[0]) * z[0])


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [0]])
def test_a_batch_without_a_semi_hard_pair_is_a_zero_in_the_graph(labels: list[int]) -> None:
    x = close_together(0, len(labels)).requires_grad_()
    value = FaceNet(4, 3)(x, torch.tensor(labels))
    value.backward()
    assert value.item() == 0
    assert x.grad is not None and torch.equal(x.grad, torch.zeros_like(x))


def test_a_margin_that_is_met_is_told_from_a_bug_by_the_share() -> None:
    x = torch.eye(4, dtype=torch.float64).repeat_interleave(2, dim=0).requires_grad_()
    loss = FaceNet(4, 4)
    assert loss(x, torch.arange(8) // 2).item() == 0
    assert loss.watched["active"].item() == 0


@pytest.mark.parametrize("name", [name for name, term in TERMS.items() if term.watches])
def test_a_term_measures_what_it_declares(name: str) -> None:
    features = [Feature(torch.randn(8, 6), torch.randn(8, 6)) for _ in range(2)]
    watched = Objective({name: TERMS[name].defaults}, [6, 6], 4)(features, torch.arange(8) // 2).watched
    assert set(watched) == {f"{name}/{each}" for each in TERMS[name].watches}


def test_the_share_streams_to_the_history(hands: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "0001-ce_facenet"
    train_in(run, small_config("ce_facenet", hands))
    steps = events_of(run, "step")
    assert all(set(step["watched"]) == {"facenet/active"} and set(step["terms"]) == {"ce", "facenet"} for step in steps)
    assert any(0 < step["watched"]["facenet/active"] <= 1 for step in steps)
    history = open_history(tmp_path / "runs.db")
    ingest(history, tmp_path / "runs")
    assert curve(history, 1, "term/facenet/active")[1].tolist() == [step["watched"]["facenet/active"] for step in steps]
