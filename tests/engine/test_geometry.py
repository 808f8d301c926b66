"""The shape of an embedding on cases where it is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from engine.evaluation import geometry as module
from engine.evaluation.geometry import geometry


def on_circle(*degrees: float) -> Tensor:
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def chord(degrees: float) -> float:
    return 2 * math.sin(math.radians(degrees) / 2)


def test_two_identities_on_a_circle() -> None:
    result = geometry(on_circle(-10, 10, 80, 100), torch.tensor([4, 4, 7, 7]))
    length = math.cos(math.radians(10))  # of an identity's mean, half-way between its two images
    assert result["intra"] == pytest.approx(math.sin(math.radians(10)))
    assert result["inter"] == pytest.approx(length * math.sqrt(2))
    assert result["ratio"] == pytest.approx(result["intra"] / result["inter"])
    assert result["angle"] == pytest.approx(10)
    # furthest positive 20 degrees off for all; nearest negative 90 for the outer two, 70 for the inner two
    assert result["hard_gap"] == pytest.approx(chord(20) - (chord(90) + chord(70)) / 2)


def test_an_identity_with_one_image_counts_in_inter_and_as_a_negative_only() -> None:
    pair = on_circle(-10, 10)
    result = geometry(torch.cat([pair, on_circle(40)]), torch.tensor([0, 0, 5]))
    assert result["intra"] == pytest.approx(math.sin(math.radians(10)))
    assert result["angle"] == pytest.approx(10)
    assert result["hard_gap"] == pytest.approx(chord(20) - (chord(50) + chord(30)) / 2)
    assert result["inter"] == pytest.approx((pair.mean(0) - on_circle(40)[0]).norm().item())


def test_images_count_equally_not_identities() -> None:
    result = geometry(on_circle(-10, 10, 90, 90, 90), torch.tensor([0, 0, 1, 1, 1]))
    assert result["angle"] == pytest.approx(10 * 2 / 5, abs=1e-6)


def test_what_has_nothing_to_average_is_nan() -> None:
    singles = geometry(on_circle(0, 90), torch.tensor([0, 1]))
    assert singles["inter"] == pytest.approx(math.sqrt(2))
    assert all(math.isnan(singles[key]) for key in ("intra", "ratio", "hard_gap", "angle"))
    one = geometry(on_circle(0, 20), torch.tensor([3, 3]))
    assert one["angle"] == pytest.approx(10)
    assert all(math.isnan(one[key]) for key in ("inter", "ratio", "hard_gap"))


def test_it_is_the_slow_obvious_one_whatever_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    x = normalize(torch.randn(40, 5, generator=generator, dtype=torch.float64))
    y = torch.randint(0, 9, (40,), generator=generator)
    means = {i: x[y == i].mean(0) for i in y.unique().tolist()}
    anchors = [i for i in range(40) if (y == y[i]).sum() > 1]
    own = [means[int(y[i])] for i in anchors]

    def distances(i: int, same: bool) -> list[float]:
        return [float((x[i] - x[j]).norm()) for j in range(40) if j != i and (y[i] == y[j]) == same]

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    names = list(means)
    expected = {
        "intra": mean([float((x[i] - m).norm()) for i, m in zip(anchors, own, strict=True)]),
        "inter": mean([float((means[a] - means[b]).norm()) for a in names for b in names if a < b]),
        "hard_gap": mean([max(distances(i, True)) - min(distances(i, False)) for i in anchors]),
        "angle": mean([math.degrees(math.acos(x[i] @ m / m.norm())) for i, m in zip(anchors, own, strict=True)]),
    }
    expected["ratio"] = expected["intra"] / expected["inter"]
    for chunk in (1, 100, 1 << 23):
        monkeypatch.setattr(module, "CHUNK", chunk)
        assert geometry(x, y) == pytest.approx(expected)


def test_tiny_angles_survive_float32() -> None:
    result = geometry(on_circle(0, 0.01, 90, 90.01).float(), torch.tensor([0, 0, 1, 1]))
    assert result["angle"] == pytest.approx(0.005, rel=1e-2)
    assert result["hard_gap"] == pytest.approx(chord(0.01) - chord(89.995), rel=1e-3)
