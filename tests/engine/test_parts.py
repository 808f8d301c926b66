"""Parts: feature maps averaged by place, through everything that a run does with a model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from engine.contract.config import ModelConfig, RunConfig, resolve
from engine.contract.errors import UserError
from engine.evaluation.export import export
from engine.evaluation.trained_model import load_trained
from engine.model.reid_model import ReIDModel, build_model
from engine.training.setup import prepare
from tests.support.encoders import live
from tests.support.training import small_config, train_in

SMALL = {"model__name": "handreid-small", "model__image_size": 64, "train__epochs": 1, "evaluation__test": False}


def model_of(name: str, size: int | None, branches: str = "parts") -> ReIDModel:
    settings = {"name": name, "pretrained": "none", "image_size": size, "branches": branches}
    return build_model(ModelConfig.model_validate(settings), 0).eval()


def test_it_is_the_mean_of_each_quarter_of_the_last_two_maps() -> None:
    model = model_of("handreid-small", 128)
    trunk, images = model.encoder.trunk, torch.randn(2, 3, 128, 128)
    with torch.inference_mode():
        pooled, projected, *whitened = model.encoder(images)
        model.encoder.trunk(images)
        earlier, last = model.encoder.branches.pooled()
        first = trunk.stem(images)
        entered = trunk.layer3(trunk.layer2(trunk.layer1(first)))
    assert [pooled.shape[1], projected.shape[1], earlier.shape[1], last.shape[1]] == [512, 128, 4 * 256, 4 * 512]
    assert model.dims == [512, 128, 1024, 2048]
    quarters = earlier.view(2, 256, 2, 2)
    torch.testing.assert_close(quarters[:, :, 0, 1], entered[:, :, :4, 4:].mean(dim=(2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(last.view(2, 512, 4).mean(dim=2), pooled, rtol=1e-4, atol=1e-5)
    for given, feature in zip(whitened, (earlier, last), strict=True):
        torch.testing.assert_close(given, F.normalize(feature) * feature.shape[1] ** 0.5, rtol=1e-4, atol=1e-4)


def test_retrieval_compares_the_parts_alone() -> None:
    model, images = model_of("handreid-small", 64), torch.randn(3, 3, 64, 64)
    with torch.inference_mode():
        *_, earlier, last = model.encoder(images)
        found = model.embed(images, "before")
    assert found.shape == (3, model.width) == (3, 1024 + 2048)
    expected = (F.normalize(earlier) @ F.normalize(earlier).T + F.normalize(last) @ F.normalize(last).T) / 2
    torch.testing.assert_close(found @ found.T, expected, rtol=1e-4, atol=1e-5)
    assert model_of("handreid-small", 64, "none").width == 512 + 128


def test_a_vision_transformer_has_them_on_the_grid_of_its_patches() -> None:
    model, images = model_of("handreid-tiny", None), torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert [feature.shape[1] for feature in model.encoder(images)[2:]] == [4 * 192] * 2
        turned = model.encoder(images.flip(3))[2:]
    assert all(feature.isfinite().all() for feature in turned)


def test_a_tower_without_a_map_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.branches=none"):
        model_of("MobileCLIP-S1", 64)


def test_they_live_through_everything(hands: Path, tmp_path: Path) -> None:
    live("handreid-small", 64, 96, hands, tmp_path)


def test_they_are_the_default_of_the_start_alone() -> None:
    assert resolve("ce", 0, **{"model.pretrained": "synthetic"}).model.branches == "parts"
    assert resolve("ce", 0, **{"model.name": "handreid-tiny"}).model.branches == "none"
    assert resolve("mba_net", 0, **{"model.pretrained": "synthetic"}).model.branches == "mba"


def test_the_gradient_of_a_term_reaches_the_encoder_by_each_feature(hands: Path) -> None:
    setup = prepare(small_config("ce_triplet", hands, **SMALL))
    images, target = setup.batch(0)
    for place in range(4):
        features = setup.model(images)
        setup.model.zero_grad()
        features[place].before.square().mean().backward()
        weight = setup.model.encoder.trunk.get_parameter("conv1.weight")
        assert weight.grad is not None and weight.grad.abs().sum() > 0
    assert len(setup.objective(setup.model(images), target).terms) == 2


def test_export_says_what_it_leaves_out_and_an_earlier_run_has_none(hands: Path, tmp_path: Path) -> None:
    train_in(tmp_path / "run", small_config("ce", hands, **SMALL))
    assert "are left out: open_clip gives the feature after the projection" in export(
        tmp_path / "run", tmp_path / "exported"
    )

    before = small_config("ce", hands, **SMALL, model__branches="none")
    train_in(tmp_path / "earlier", before)
    file = tmp_path / "earlier" / "config.json"
    file.write_text(before.model_dump_json(exclude={"model": {"branches"}}))  # as versions without them wrote it
    assert RunConfig.load(file).model.branches == "none"
    assert load_trained(tmp_path / "earlier")[1].dims == [512, 128]
