"""Frozen weights, rates that fall with depth, and averaged weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.contract import run_files
from engine.contract.config import DataConfig, ModelConfig
from engine.contract.errors import UserError
from engine.evaluation.score import score
from engine.model.depth import depths
from engine.model.reid_model import build_model
from engine.training.ema import AveragedWeights
from engine.training.setup import prepare
from tests.support.encoders import StopAfter
from tests.support.training import small_config, train_in

BEST = f"{run_files.BEST_CHECKPOINT}/{run_files.MODEL}"


@pytest.mark.parametrize(
    ("model", "size", "what", "still"),
    [
        (
            "handreid-tiny",
            None,
            "all-but-last-1",
            ("conv1", "_embedding", "ln_pre", "resblocks.0", "resblocks.1", "resblocks.2"),
        ),
        ("handreid-tiny", None, "visual.transformer.resblocks.1.*", ("resblocks.1.",)),
        ("handreid-tiny", None, ["visual.conv1*", "visual.proj"], ("conv1", "visual.proj")),
        ("timm:test_resnet", 64, "all-but-last-2", ("trunk.conv1", "trunk.bn1", "layer1", "layer2")),
    ],
)
def test_frozen_weights_stay_bit_for_bit_and_all_others_move(
    model: str, size: int | None, what: object, still: tuple[str, ...], hands: Path, tmp_path: Path
) -> None:
    config = small_config("ce", hands, model__name=model, model__image_size=size, train__freeze=what)
    before = build_model(config.model, config.seed).encoder.open_clip_state()
    train_in(tmp_path / "run", config)
    after = load_file(tmp_path / "run" / BEST)
    for name, value in before.items():
        frozen = any(part in name for part in still)
        assert torch.equal(value, after[name]) == frozen, name


def test_a_frozen_encoder_trains_its_classifier_alone(hands: Path, tmp_path: Path) -> None:
    config = small_config("ce", hands, train__freeze="visual.*")
    before = build_model(config.model, config.seed).encoder.open_clip_state()
    assert train_in(tmp_path / "run", config) == "finished"
    after = load_file(tmp_path / "run" / BEST)
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    with pytest.raises(UserError, match="nothing is left to train") as caught:
        prepare(small_config("triplet", hands, train__freeze="visual.*"))
    assert caught.value.setting == "train.freeze"


def test_a_name_that_is_no_weight_is_refused(hands: Path) -> None:
    with pytest.raises(UserError, match=r"'visual.layer9\*' names no weight of the encoder: they are visual\."):
        prepare(small_config("ce", hands, train__freeze="visual.layer9*"))
    with pytest.raises(UserError, match="names no weight"):
        prepare(small_config("ce", hands, train__freeze="all-but-last-9"))


@pytest.mark.parametrize(
    ("name", "blocks"),
    [("handreid-tiny", 4), ("RN50", 4), ("PE-Core-T-16-384", 12), ("timm:test_resnet", 4), ("timm:test_convnext", 4)],
)
def test_every_weight_has_a_depth(name: str, blocks: int) -> None:
    encoder = build_model(ModelConfig(name=name, pretrained="none", image_size=64), 0).encoder
    depth = depths(encoder)
    assert depth.blocks == blocks
    assert depth.of.keys() == dict(encoder.named_parameters()).keys()
    assert set(range(blocks + 1)) <= set(depth.of.values()) <= set(range(blocks + 2))
    assert all(at == blocks + 1 for weight, at in depth.of.items() if weight.startswith("projection"))


def test_the_rate_falls_from_block_to_block(hands: Path) -> None:
    setup = prepare(small_config("ce", hands, train__layer_decay=0.5, train__lr=0.008, train__head_lr=0.1))
    rate = {id(w): group["base_lr"] for group in setup.optimizers.main.param_groups for w in group["params"]}
    found = {name: rate[id(weight)] for name, weight in setup.model.encoder.named_parameters()}
    assert found["projection.weight"] == found["trunk.ln_post.weight"] == 0.008
    for block in range(4):
        assert found[f"trunk.transformer.resblocks.{block}.attn.in_proj_weight"] == pytest.approx(
            0.008 * 0.5 ** (4 - block)
        )
    assert found["trunk.conv1.weight"] == found["trunk.positional_embedding"] == pytest.approx(0.008 * 0.5**5)
    assert {rate[id(weight)] for weight in setup.objective.heads()} == {0.1}


def test_the_average_is_the_recursion_in_float64() -> None:
    live = {"w": torch.zeros(3, dtype=torch.float64), "count": torch.tensor(0)}
    averaged, expected = AveragedWeights(0.9, live), torch.zeros(3, dtype=torch.float64)
    for step in range(5):
        live["w"].copy_(torch.full((3,), step + 1.0, dtype=torch.float64))
        live["count"].fill_(step + 1)
        averaged.update()
        expected = 0.9 * expected + 0.1 * (step + 1)
    torch.testing.assert_close(averaged.values["w"], expected)
    assert averaged.values["count"] == 5
    with averaged.in_place():
        torch.testing.assert_close(live["w"], expected)
    assert live["w"].tolist() == [5.0] * 3
    again = AveragedWeights(0.9, live)
    again.load_state(averaged.state())
    torch.testing.assert_close(again.values["w"], expected)


def test_averaged_weights_are_evaluated_saved_and_resumed_bit_for_bit(hands: Path, tmp_path: Path) -> None:
    config = small_config("ce_triplet_center", hands, train__ema=0.5, train__epochs=3)
    train_in(tmp_path / "whole", config)
    assert train_in(tmp_path / "broken", config, StopAfter(4)) == "stopped"
    assert train_in(tmp_path / "broken", config) == "finished"
    train_in(tmp_path / "without", small_config("ce_triplet_center", hands, train__epochs=3))
    whole, broken, without = (load_file(tmp_path / name / BEST) for name in ("whole", "broken", "without"))
    assert whole.keys() == without.keys()
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
    assert not torch.equal(whole["visual.proj"], without["visual.proj"])
    own = json.loads((tmp_path / "whole" / run_files.EVALUATION / run_files.SUMMARY).read_text())
    again = score(tmp_path / "whole", DataConfig(source=str(hands), trials=2, gallery="own")).summary
    assert again["mAP"] == pytest.approx(own["mAP"], abs=1e-6)
