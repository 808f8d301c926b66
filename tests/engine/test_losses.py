"""The losses against independent implementations, in float64, value and gradient; and where they are delicate."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning import losses as oracle
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor

from engine.losses import (
    ArcFace,
    CenterLoss,
    CosFace,
    FaceNet,
    batch_hard_triplet,
    circle,
    cross_entropy,
    supcon,
    valid_anchors,
)

UNEQUAL = [0, 0, 0, 0, 0, 1, 1, 2, 2, 2]
WITH_SINGLETONS = [0, 0, 0, 1, 1, 2, 3, 4, 4]
BATCHES = {"equal": [0, 0, 1, 1, 2, 2, 3, 3], "unequal": UNEQUAL, "singletons": WITH_SINGLETONS}

PAIRWISE = {
    "triplet": batch_hard_triplet,
    "triplet soft": lambda x, y: batch_hard_triplet(x, y, "soft"),
    "supcon": supcon,
    "circle": circle,
    "facenet": FaceNet(6, 6, margin=4.0),
}
MARGINS = {"arcface": ArcFace, "cosface": CosFace}

batches = pytest.mark.parametrize("labels", BATCHES.values(), ids=BATCHES.keys())
pairwise = pytest.mark.parametrize("loss", PAIRWISE.values(), ids=PAIRWISE.keys())
margins = pytest.mark.parametrize("margin_loss", MARGINS.values(), ids=MARGINS.keys())


def features(count: int, dim: int = 6, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()


def assert_same(ours: Tensor, theirs: Tensor, *inputs: tuple[Tensor, Tensor]) -> None:
    """Equal values, and equal gradients for each pair of our input and theirs."""
    torch.testing.assert_close(ours, theirs)
    ours.backward()
    theirs.backward()
    for our_input, their_input in inputs:
        assert our_input.grad is not None and our_input.grad.abs().sum() > 0
        torch.testing.assert_close(our_input.grad, their_input.grad)


def copy(x: Tensor) -> Tensor:
    return x.detach().clone().requires_grad_()


# Cross-entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_cross_entropy_is_the_papers_formula(smoothing: float) -> None:
    ours = features(9, 5)
    theirs = copy(ours)
    target = torch.tensor([0, 1, 2, 3, 4, 0, 0, 1, 1])
    log_p = (theirs.exp() / theirs.exp().sum(1, keepdim=True)).log()
    expected = ((1 - smoothing) * -log_p[range(9), target] - smoothing * log_p.mean(1)).mean()
    assert_same(cross_entropy(ours, target, smoothing), expected, (ours, theirs))


def test_cross_entropy_survives_logits_that_overflow_an_exponential() -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([1]), 0.0)
    loss.backward()
    assert loss.item() == pytest.approx(2e4)
    assert logits.grad is not None and logits.grad.isfinite().all()


# Triplet


@batches
@pytest.mark.parametrize("margin", [0.3, 2.0, "soft"])
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_triplet_is_batch_hard_mining_on_euclidean_distances(
    labels: list[int], margin: float | str, scale: float
) -> None:
    identities = torch.tensor(labels)
    ours = (scale * features(len(labels)).detach()).requires_grad_()
    theirs = copy(ours)
    distance = LpDistance(normalize_embeddings=False)
    soft = margin == "soft"
    loss = oracle.TripletMarginLoss(
        margin=0.0 if soft else margin, smooth_loss=soft, distance=distance, reducer=MeanReducer()
    )
    expected = loss(theirs, identities, BatchHardMiner(distance=distance)(theirs, identities))
    ours_value = batch_hard_triplet(ours, identities, margin)
    if expected == 0:
        assert ours_value == 0
    else:
        assert_same(ours_value, expected, (ours, theirs))


def test_triplet_measures_features_that_are_close_together_but_far_from_zero() -> None:
    identities = torch.tensor(UNEQUAL)
    near = features(len(UNEQUAL)).detach()
    expected = batch_hard_triplet(near, identities, 0.3)
    shifted = batch_hard_triplet(near.float() + 3000, identities, 0.3)
    assert shifted.item() == pytest.approx(expected.item(), rel=1e-3)


def test_triplet_takes_the_hardest_pair_of_an_example_done_by_hand() -> None:
    points = torch.tensor([[0.0], [1.0], [4.0], [6.0]])
    # anchors 0, 1, 4, 6: positives at 1, 1, 2, 2; negatives at 4, 3, 3, 5
    expected = (max(0, 2.5 + 1 - 4) + (2.5 + 1 - 3) + (2.5 + 2 - 3) + max(0, 2.5 + 2 - 5)) / 4
    assert batch_hard_triplet(points, torch.tensor([7, 7, 9, 9]), 2.5).item() == pytest.approx(expected)


# Losses over all pairs


@batches
@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_supcon_is_the_oracles(labels: list[int], temperature: float) -> None:
    identities = torch.tensor(labels)
    ours = features(len(labels))
    theirs = copy(ours)
    expected = oracle.SupConLoss(temperature=temperature)(theirs, identities)
    assert_same(supcon(ours, identities, temperature), expected, (ours, theirs))


@batches
@pytest.mark.parametrize(("margin", "gamma"), [(0.25, 80.0), (0.4, 1.0)])
def test_circle_is_the_oracles(labels: list[int], margin: float, gamma: float) -> None:
    identities = torch.tensor(labels)
    ours = features(len(labels))
    theirs = copy(ours)
    expected = oracle.CircleLoss(m=margin, gamma=gamma)(theirs, identities)
    assert_same(circle(ours, identities, margin, gamma), expected, (ours, theirs))


@pairwise
def test_an_anchor_without_a_positive_leaves_the_mean_but_stays_a_negative(loss) -> None:
    x = features(4)
    with_singleton = loss(x, torch.tensor([0, 0, 1, 2]))
    assert valid_anchors(torch.tensor([0, 0, 1, 2])).tolist() == [True, True, False, False]
    (gradient,) = torch.autograd.grad(with_singleton, x)
    assert with_singleton > 0
    assert gradient[:2].abs().sum() > 0 and gradient[2:].abs().sum() > 0


@pairwise
@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [0]], ids=["one class", "singletons only", "one image"])
def test_a_batch_without_a_valid_anchor_is_a_zero_in_the_graph_that_the_caller_can_tell(loss, labels) -> None:
    x = features(len(labels))
    value = loss(x, torch.tensor(labels))
    value.backward()
    assert value == 0
    assert x.grad is not None and (x.grad == 0).all()
    assert not valid_anchors(torch.tensor(labels)).any()


@pairwise
def test_duplicate_images_give_finite_gradients(loss) -> None:
    identities = torch.tensor([0, 0, 1, 1])
    for rows in ([0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0]):
        x = features(2, dtype=torch.float32)
        value = loss(x[rows], identities)
        value.backward()
        assert value.isfinite() and x.grad is not None and x.grad.isfinite().all()


@pairwise
def test_the_order_and_the_names_of_identities_do_not_matter(loss) -> None:
    x, identities = features(len(UNEQUAL)).detach(), torch.tensor(UNEQUAL)
    order = torch.randperm(len(UNEQUAL), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(loss(x, identities), loss(x[order], 1000 - 7 * identities[order]))


@pytest.mark.parametrize("name", ["triplet", "triplet soft", "supcon"])  # circle's weights carry no gradient
@settings(max_examples=20, deadline=None)
@given(labels=st.lists(st.integers(0, 4), min_size=2, max_size=8), seed=st.integers(0, 100))
def test_gradients_are_those_of_the_value(name: str, labels: list[int], seed: int) -> None:
    identities = torch.tensor(labels)
    assert torch.autograd.gradcheck(lambda x: PAIRWISE[name](x, identities), features(len(labels), 3, seed))


# Center


def test_center_loss_and_its_gradients_are_the_closed_form() -> None:
    loss = CenterLoss(dim=6, classes=4).double()
    x, target = features(7), torch.tensor([0, 0, 0, 1, 3, 3, 0])
    with torch.no_grad():
        loss.centers.copy_(features(4, seed=1))
    centers = loss.centers.detach()
    value = loss(x, target)
    value.backward()

    torch.testing.assert_close(value.detach(), sum((x - centers[target]).detach().square().sum(1)) / 2 / 7)
    expected = torch.zeros_like(centers)
    for image, own in zip(x.detach(), target, strict=True):
        expected[own] += (centers[own] - image) / 7
    assert loss.centers.grad is not None and x.grad is not None
    torch.testing.assert_close(loss.centers.grad, expected)
    torch.testing.assert_close(x.grad, (x - centers[target]).detach() / 7)


def test_centers_move_to_the_means_of_their_classes_under_their_own_sgd() -> None:
    loss = CenterLoss(dim=6, classes=2).double()
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.5)
    x, target = features(4).detach(), torch.tensor([0, 0, 0, 1])
    loss(x, target).backward()
    optimizer.step()
    torch.testing.assert_close(loss.centers.detach()[0], 0.5 * 3 / 4 * x[:3].mean(0))
    for _ in range(200):
        optimizer.zero_grad()
        loss(x, target).backward()
        optimizer.step()
    torch.testing.assert_close(loss.centers.detach(), torch.stack([x[:3].mean(0), x[3]]))


# ArcFace and CosFace


@pytest.mark.parametrize(("scale", "margin"), [(30.0, 0.3), (20.0, 0.5), (64.0, 1.2), (10.0, 0.0)])
@pytest.mark.parametrize("name", ["arcface", "cosface"])
def test_margin_losses_are_the_oracles(name: str, scale: float, margin: float) -> None:
    count, dim, classes = 40, 3, 7  # three dimensions: some angles lie beyond pi - m
    ours, target = features(count, dim), torch.arange(count) % classes
    theirs = copy(ours)
    if name == "arcface":
        loss = ArcFace(dim, classes, scale, margin).double()
        expected = oracle.ArcFaceLoss(classes, dim, margin=math.degrees(margin), scale=scale)
    else:
        loss = CosFace(dim, classes, scale, margin).double()
        expected = oracle.CosFaceLoss(classes, dim, margin=margin, scale=scale)
    expected.W.data = loss.weight.detach().T.clone()
    assert_same(loss(ours, target), expected(theirs, target), (ours, theirs))
    assert expected.W.grad is not None and loss.weight.grad is not None
    torch.testing.assert_close(loss.weight.grad, expected.W.grad.T)


def at_angle(loss: ArcFace, angle: float) -> float:
    """The loss of one feature at `angle` (radians) to its class, with one other class at a right angle to both."""
    with torch.no_grad():
        loss.weight.copy_(torch.eye(3)[[0, 2]])
    return loss(torch.tensor([[math.cos(angle), math.sin(angle), 0.0]]), torch.tensor([0])).item()


def test_arcface_adds_its_margin_to_the_angle_of_the_own_class_only() -> None:
    for angle in (0.1, 1.0, 2.0):
        expected = math.log1p(math.exp(-3 * math.cos(angle + 0.5)))
        assert at_angle(ArcFace(3, 2, scale=3.0, margin=0.5), angle) == pytest.approx(expected, rel=1e-5)


def test_arcface_keeps_rising_beyond_pi_minus_the_margin() -> None:
    loss = ArcFace(3, 2, scale=3.0, margin=0.5)
    values = [at_angle(loss, angle) for angle in torch.linspace(0, math.pi, 50).tolist()]
    assert all(later > earlier for earlier, later in itertools.pairwise(values))
    assert values[-1] == pytest.approx(math.log1p(math.exp(3 * (1 + 0.5 * math.sin(0.5)))), rel=1e-5)


@margins
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_gradients_are_finite_where_a_feature_lies_on_its_class_or_opposite(margin_loss, dtype, sign) -> None:
    exact = torch.eye(16)[:3]  # the cosine is 1 to the last digit; of the others it is so up to rounding
    for weight in [exact, *(features(3, 16, seed).detach() for seed in range(20))]:
        loss = margin_loss(16, 3).to(dtype)
        with torch.no_grad():
            loss.weight.copy_(weight)
        x = (sign * 5 * loss.weight.detach()).requires_grad_()
        value = loss(x, torch.tensor([0, 1, 2]))
        value.backward()
        assert value.isfinite()
        assert x.grad is not None and x.grad.isfinite().all()
        assert loss.weight.grad is not None and loss.weight.grad.isfinite().all()


@margins
def test_a_feature_of_zeros_gives_a_finite_gradient(margin_loss) -> None:
    x = torch.zeros(2, 4, requires_grad=True)
    margin_loss(4, 3)(x, torch.tensor([0, 1])).backward()
    assert x.grad is not None and x.grad.isfinite().all()


@margins
def test_margin_losses_pass_gradcheck(margin_loss) -> None:
    loss = margin_loss(3, 4).double()
    assert torch.autograd.gradcheck(lambda x: loss(x, torch.tensor([0, 1, 3, 3, 2])), features(5, 3))


# Mixed precision


def with_parameters() -> dict:
    torch.manual_seed(0)
    table = {"ce": lambda x, y: cross_entropy(x, y, 0.1), **PAIRWISE}
    return table | {"arcface": ArcFace(6, 6), "cosface": CosFace(6, 6), "center": CenterLoss(6, 6)}


@pytest.mark.parametrize("name", ["ce", *PAIRWISE, "arcface", "cosface", "center"])
def test_bfloat16_features_are_computed_in_float32_under_autocast_too(name: str) -> None:
    loss = with_parameters()[name]
    x, target = features(len(UNEQUAL), dtype=torch.bfloat16), torch.tensor(UNEQUAL)
    wide = x.detach().float().requires_grad_()
    expected = loss(wide, target)
    expected.backward()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(x, target)
        of_wide = loss(wide, target)
    value.backward()
    assert value.dtype == of_wide.dtype == torch.float32
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(of_wide, expected)
    assert x.grad is not None and wide.grad is not None and x.grad.dtype == torch.bfloat16
    torch.testing.assert_close(x.grad.float(), wide.grad, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("name", ["ce", *PAIRWISE, "arcface", "cosface", "center"])
def test_float64_features_are_computed_in_float64(name: str) -> None:
    loss = with_parameters()[name]
    loss = loss.double() if isinstance(loss, torch.nn.Module) else loss
    assert loss(features(len(UNEQUAL)), torch.tensor(UNEQUAL)).dtype == torch.float64


@pytest.mark.parametrize("name", ["ce", *PAIRWISE, "arcface", "cosface", "center"])
def test_a_nan_feature_is_not_hidden(name: str) -> None:
    x = features(len(UNEQUAL), dtype=torch.float32).detach()
    x[3, 2] = torch.nan
    assert with_parameters()[name](x, torch.tensor(UNEQUAL)).isnan()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["ce", *PAIRWISE, "arcface", "cosface", "center"])
def test_no_loss_waits_for_the_gpu(name: str) -> None:
    loss = with_parameters()[name]
    loss = loss.cuda() if isinstance(loss, torch.nn.Module) else loss
    x, target = (
        features(len(UNEQUAL), dtype=torch.float32).detach().cuda().requires_grad_(),
        torch.tensor(UNEQUAL).cuda(),
    )
    loss(x, target).backward()
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss(x, target).backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
