"""Whitening of the parts: by principal components of the training images, and of nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from engine.contract import run_files
from engine.evaluation.trained_model import load_trained
from engine.model.whitening import DIRECTIONS, SHRINKAGE, Whitening
from engine.training.checkpoint import load_checkpoint
from engine.training.setup import TrainingSetup, prepare
from engine.training.whiten_parts import of_training_people
from tests.support.training import small_config, train_in

SMALL = {"model__name": "handreid-small", "model__image_size": 64, "model__branches": "parts", "train__epochs": 1}
EXACT = SMALL | {"train__precision": "float32"}


def features(count: int, dim: int) -> torch.Tensor:
    """Like those of images of one kind: a mean that all share, and few directions that vary much."""
    torch.manual_seed(0)
    return 5 + torch.randn(count, dim) * torch.logspace(0, -2, dim) @ torch.linalg.qr(torch.randn(dim, dim))[0]


@pytest.mark.parametrize(("count", "dim"), [(400, 24), (30, 300), (600, 300)])
def test_it_is_the_inverse_root_of_the_shrunken_covariance(count: int, dim: int) -> None:
    given = features(count, dim)
    whitening = Whitening(dim)
    whitening.fit(given)
    unit = F.normalize(given.double()).numpy()
    centered = unit - unit.mean(0)
    variances, directions = np.linalg.eigh(centered.T @ centered / count)
    variances, directions = variances[::-1].clip(0), directions[:, ::-1]
    variances = np.where(np.arange(dim) < DIRECTIONS, variances, 0)
    floor = SHRINKAGE * np.trace(centered.T @ centered / count) / dim
    whitened = centered @ directions / np.sqrt((1 - SHRINKAGE) * variances + floor) @ directions.T
    whitened /= np.sqrt((whitened**2).mean())
    torch.testing.assert_close(whitening(given).numpy(), whitened.astype(np.float32), rtol=1e-3, atol=2e-3)


def test_the_length_of_a_feature_does_not_matter() -> None:
    given = features(100, 16)
    whitening = Whitening(16)
    whitening.fit(given)
    torch.testing.assert_close(whitening(given * 8), whitening(given))


@pytest.mark.parametrize("given", [torch.ones(1, 8), torch.ones(5, 8)])
def test_one_image_or_equal_ones_change_nothing(given: torch.Tensor) -> None:
    whitening = Whitening(8)
    whitening.fit(given)
    torch.testing.assert_close(whitening(given), F.normalize(given) * 8**0.5)


def test_it_is_fitted_to_the_training_images(hands: Path) -> None:
    setup = prepare(small_config("zero_shot", hands, **EXACT))
    assert mean_of(setup, of_training_people(setup.split)) < 0.01 < 0.1 < mean_of(setup, setup.split.test)


def test_held_out_people_have_no_part_in_it(hands: Path) -> None:
    split = prepare(small_config("zero_shot", hands, **EXACT, data__validation="identities")).split
    people = {split.images[image].identity for image in of_training_people(split)}
    assert people.isdisjoint(split.images[image].identity for image in split.val)


def mean_of(setup: TrainingSetup, places: tuple[int, ...]) -> float:
    """The largest mean of a dimension of the first part over some images."""
    images = setup.augmentation.plain(setup.images[list(places)])
    with torch.inference_mode():
        return setup.model.eval().encoder(images)[2].mean(dim=0).abs().max().item()


def test_a_checkpoint_holds_it_and_a_run_from_there_fits_its_own(hands: Path, tmp_path: Path) -> None:
    train_in(tmp_path / "first", small_config("ce", hands, **EXACT))
    saved = load_checkpoint(tmp_path / "first" / run_files.BEST_CHECKPOINT)
    assert saved is not None
    name = "branches.whitenings.0.mean"
    held = load_trained(tmp_path / "first")[1].encoder.state_beside()[name]
    assert held.abs().max() > 0 and torch.equal(held, saved.weights[name])
    begun = prepare(small_config("ce", hands, **EXACT, model__pretrained=str(tmp_path / "first")))
    assert not torch.equal(begun.weights()[name], held)
    assert mean_of(begun, of_training_people(begun.split)) < 0.01
