"""Models whose code path begins at the hub, and captioning models: with small files in the place of the downloads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from engine.contract.config import ModelConfig
from engine.contract.errors import UserError
from engine.contract.texts import check_texts
from engine.evaluation.trained_model import load_trained
from engine.model.reid_model import build_model
from engine.model.text_tower import open_text_tower
from engine.training.setup import prepare
from tests.support.encoders import live
from tests.support.training import StopAtStep, small_config, train_in

NAME = "hf-hub:somebody/small-clip"
TOWER = {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}
MEAN, STD = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A repository of the hub with a small CLIP that has a normalisation of its own."""
    model = {"embed_dim": 16, "vision_cfg": TOWER, "text_cfg": {"layers": 1, "width": 32, "heads": 1}}
    config = {"model_cfg": model, "preprocess_cfg": {"mean": MEAN, "std": STD}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(3)
    state = open_clip.model.CLIP(**model).state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "weights.safetensors")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda repository, name: str(tmp_path / name))
    monkeypatch.setattr("open_clip.factory._get_hf_config", lambda *_, **__: json.loads(json.dumps(config)))
    monkeypatch.setattr(
        "open_clip.factory.download_pretrained_from_hf", lambda *_, **__: str(tmp_path / "weights.safetensors")
    )
    return tmp_path


@pytest.mark.parametrize("size", [None, 48])
def test_a_model_of_the_hub_has_its_own_weights_and_normalisation(hub: Path, size: int | None) -> None:
    model = build_model(ModelConfig(name=NAME, pretrained="hub", image_size=size), 0)
    assert (model.mean, model.std, model.image_size, model.dims) == (MEAN, STD, size or 32, [64, 16])
    file = build_model(ModelConfig(name=NAME, pretrained=str(hub / "weights.safetensors"), image_size=size), 0)
    image = torch.rand(1, 3, model.image_size, model.image_size)
    with torch.inference_mode():
        for one, other in zip(model.eval().encoder(image), file.eval().encoder(image), strict=True):
            torch.testing.assert_close(one, other)


def test_a_run_of_it_is_opened_again_without_the_hub(
    hub: Path, hands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_in(tmp_path / "run", small_config("ce", hands, model__name=NAME, model__pretrained="hub"))

    def unreachable(*_: Any, **__: Any) -> str:
        raise OSError("the hub cannot be reached")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    monkeypatch.setattr("open_clip.factory._get_hf_config", unreachable)
    _, model = load_trained(tmp_path / "run")
    assert (model.mean, model.std) == (MEAN, STD)
    with pytest.raises(UserError, match="could not be downloaded") as caught:
        build_model(ModelConfig(name=NAME, pretrained="hub"), 0)
    assert caught.value.setting == "model.pretrained"


@pytest.mark.parametrize("combo", ["clip_reid", "clip_handid"])
def test_the_text_tower_of_a_model_of_the_hub_is_its_own(
    hub: Path, hands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, combo: str
) -> None:
    config = small_config(combo, hands, model__name=NAME, model__pretrained="hub")
    check_texts(combo, NAME, "hub")
    text = open_clip.get_tokenizer(NAME)(["A photo of a hand."])
    published = open_clip.create_model(NAME)
    torch.testing.assert_close(open_text_tower(config.model, 0, combo)(text), published.encode_text(text))
    if combo == "clip_reid":  # the second stage is resumed wherever the repository is by then
        assert train_in(tmp_path / "run", config, StopAtStep(4)) == "stopped"
        monkeypatch.setattr("engine.model.text_tower.hub_declaration", lambda *_: pytest.fail("the hub was asked"))
    assert train_in(tmp_path / "run", config) == "finished"


def test_another_vocabulary_on_the_hub_is_refused(hub: Path, hands: Path) -> None:
    file = hub / "open_clip_config.json"
    declared = json.loads(file.read_text())
    for text in ({"hf_tokenizer_name": "timm/ViT-B-16-SigLIP"}, {"vocab_size": 32_000}):
        told = declared["model_cfg"] | {"text_cfg": declared["model_cfg"]["text_cfg"] | text}
        file.write_text(json.dumps(declared | {"model_cfg": told}))
        with pytest.raises(UserError, match="small-clip has a text tower with another vocabulary than CLIP's"):
            prepare(small_config("clip_reid", hands, model__name=NAME, model__pretrained="none"))


def test_a_captioning_model_lives_through_everything(
    hands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = open_clip.get_model_config("coca_ViT-B-32")
    small = TOWER | {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
    declared = real | {"embed_dim": 16, "vision_cfg": small}
    for module in (open_clip, open_clip.factory):
        monkeypatch.setattr(module, "get_model_config", lambda name: json.loads(json.dumps(declared)))
    live("coca_ViT-B-32", None, 48, hands, tmp_path)
