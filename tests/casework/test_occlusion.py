"""Oracle 17: occlusion maps show what an encoder reads, and nothing where there is nothing to show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.contract.config import ModelConfig
from engine.data import synthetic
from engine.data.cache import Resize, decode
from engine.evaluation.embed import Box, hide
from engine.model.reid_model import ReIDModel, build_model
from handreid_tui.casework.occlusion import explain, windows


def unit(features: np.ndarray) -> np.ndarray:
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def test_windows_cover_the_picture_once() -> None:
    for size, patch, count in ((224, 16, 49), (128, 16, 16), (224, 32, 16), (100, 16, 16), (224, None, 49)):
        boxes = windows(size, patch)
        assert len(boxes) == count
        covered = np.zeros((size, size), int)
        for top, left, bottom, right in boxes:
            covered[round(top * size) : round(bottom * size), round(left * size) : round(right * size)] += 1
        assert (covered == 1).all()


def test_an_encoder_that_reads_one_rectangle_is_found_out() -> None:
    random = np.random.default_rng(0)
    picture = random.integers(0, 255, (224, 224, 3)).astype(np.uint8)
    read = (slice(40, 90), slice(130, 160))
    other = unit(picture[read].reshape(1, -1) + 30.0 * random.normal(size=(1, 50 * 30 * 3)))[0]

    def score(hidden: Sequence[Sequence[Box]]) -> np.ndarray:
        features = unit(np.stack([hide(picture, tuple(boxes))[read].reshape(-1).astype(float) for boxes in hidden]))
        return (features * other).sum(axis=1)

    def untrained(hidden: Sequence[Sequence[Box]]) -> np.ndarray:
        return -np.arange(len(hidden)) % 7

    boxes = windows(224, 16)
    found = explain(score, untrained, boxes)
    touching = np.zeros((7, 7), bool)
    touching[40 // 32 : 89 // 32 + 1, 130 // 32 : 159 // 32 + 1] = True
    assert (found.drops[~touching] == 0).all()
    assert (found.drops[touching] > 0).all()
    assert not found.refused
    assert found.top > found.random > found.bottom == 0


@pytest.mark.long
def test_random_weights_show_nothing_in_most_pairs(tmp_path: Path) -> None:
    synthetic.write(tmp_path / "hands", train_identities=1, test_identities=30, images=2, seed=3, size=128)
    files = sorted((tmp_path / "hands" / "Hands").iterdir())[-60:]
    pairs = np.stack([decode(file, Resize(128)).pixels for file in files]).reshape(30, 2, 128, 128, 3)
    models = [
        build_model(ModelConfig(name="handreid-tiny", pretrained="none", image_size=128), seed).eval()
        for seed in (0, 1)
    ]
    refused = 0
    for pair, (photo, reference) in enumerate(pairs):

        def score(
            hidden: Sequence[Sequence[Box]],
            model: ReIDModel = models[0],
            photo: np.ndarray = photo,
            reference: np.ndarray = reference,
        ) -> np.ndarray:
            pictures = np.stack([reference, *(hide(photo, tuple(boxes)) for boxes in hidden)])
            images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
            with torch.inference_mode():
                features = model.embed((images - 0.5) / 0.25, "before").double().numpy()
            return features[1:] @ features[0]

        def untrained(hidden: Sequence[Sequence[Box]], score: Callable[..., np.ndarray] = score) -> np.ndarray:
            return score(hidden, model=models[1])

        refused += bool(explain(score, untrained, windows(128, 16), seed=pair).refused)
    assert refused > 20


def test_a_score_that_depends_on_nothing_is_refused() -> None:
    found = explain(lambda hidden: np.ones(len(hidden)), lambda hidden: np.ones(len(hidden)), windows(224, 16))
    assert "no more than hiding a random one" in found.refused
