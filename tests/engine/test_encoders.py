"""Every family of encoders: one feature once, its weights' own preprocessing wherever they come from, any size."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.constants import OPENAI_DATASET_MEAN
from safetensors.torch import save_file

from engine.contract.config import ModelConfig, resolve
from engine.contract.errors import UserError
from engine.contract.models import check_model_name
from engine.evaluation.export import export
from engine.model.reid_model import build_model
from engine.model.towers import build_visual
from engine.training.setup import prepare
from handreid_tui.launch.weights import check_weights
from tests.support.encoders import live, started_from
from tests.support.training import small_config, train_in

HALF = [0.5, 0.5, 0.5]
LIMIT = 100e6  # parameters: with Adam's state and the checkpoints about 2 GB


@pytest.mark.parametrize(
    ("name", "size", "other"),
    [
        ("handreid-tiny", None, 96),
        ("PE-Core-T-16-384", 64, 96),
        ("timm:test_vit", None, 96),
        ("timm:test_resnet", 64, 96),
        ("timm:test_efficientnet", 64, 96),
    ],
)
def test_one_encoder_of_each_family_lives_through_everything(
    name: str, size: int | None, other: int, hands: Path, tmp_path: Path
) -> None:
    live(name, size, other, hands, tmp_path)


def parameters(name: str) -> int:
    settings = open_clip.get_model_config(name)
    with torch.device("meta"):
        return sum(weight.numel() for weight in build_visual(settings, False, None).parameters())


@pytest.mark.long
@pytest.mark.parametrize("name", open_clip.list_models())
def test_every_encoder_of_open_clip_lives_through_everything(name: str, hands: Path, tmp_path: Path) -> None:
    vision = open_clip.get_model_config(name)["vision_cfg"]
    if (count := parameters(name)) > LIMIT:
        pytest.skip(f"{count / 1e6:.0f} M parameters, above the limit of {LIMIT / 1e6:.0f} M")
    patch = vision.get("patch_size", 16)
    unit = 14 * 4 if "14" in name or patch == 14 else 64
    live(name, unit, unit * 3 // 2, hands, tmp_path)


@pytest.mark.parametrize(
    ("name", "mean", "dims"),
    [
        ("MobileCLIP-S1", [0.0] * 3, [1024, 512]),
        ("PE-Core-T-16-384", HALF, [192, 512]),
        ("RN50", list(OPENAI_DATASET_MEAN), [2048, 1024]),
        ("coca_ViT-B-32", list(OPENAI_DATASET_MEAN), [512, 512]),
        ("xlm-roberta-base-ViT-B-32", list(OPENAI_DATASET_MEAN), [768, 512]),
        ("timm:test_vit", HALF, [64]),
        ("timm:resnet18", [0.485, 0.456, 0.406], [512]),
    ],
)
def test_features_and_normalisation_are_the_weights_own(name: str, mean: list[float], dims: list[int]) -> None:
    model = build_model(ModelConfig(name=name, pretrained="none", image_size=64), 0)
    assert (model.mean, model.dims, model.image_size) == (mean, dims, 64)
    with torch.inference_mode():
        features = model.eval().encoder(torch.rand(2, 3, 64, 64))
    assert len({feature.data_ptr() for feature in features}) == len(dims)
    if len(dims) == 2 and dims[0] == dims[1]:
        assert not torch.equal(*features)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Weights of PE-Core-T that open_clip downloads: the tag's path through open_clip is the real one."""
    torch.manual_seed(0)
    model = open_clip.create_model("PE-Core-T-16-384")
    file = tmp_path / "open_clip_model.safetensors"
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, file)
    monkeypatch.setattr("open_clip.factory.download_pretrained", lambda *_, **__: str(file))
    return file


@pytest.mark.parametrize("size", [None, 64])
def test_a_tags_preprocessing_is_kept_at_every_size(published: Path, size: int | None) -> None:
    config = ModelConfig(name="PE-Core-T-16-384", pretrained="meta", image_size=size)
    model = build_model(config, 0)
    assert (model.mean, model.std, model.image_size) == (HALF, HALF, size or 384)
    file = build_model(ModelConfig(name="PE-Core-T-16-384", pretrained=str(published), image_size=size), 0)
    assert file.mean == HALF
    image = torch.rand(1, 3, model.image_size, model.image_size)
    with torch.inference_mode():
        for one, other in zip(model.eval().encoder(image), file.eval().encoder(image), strict=True):
            torch.testing.assert_close(one, other)


def test_a_vit_resized_from_its_tag_keeps_the_tags_mean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """ViT-L-14's tags disagree about the mean, so only the tag itself can tell."""
    small = {"embed_dim": 16, "vision_cfg": {"image_size": 28, "layers": 1, "width": 64, "patch_size": 14}}
    small |= {"text_cfg": {"layers": 1, "width": 64}}
    for module in (open_clip, open_clip.factory):
        monkeypatch.setattr(module, "get_model_config", lambda name: deepcopy(small))
    torch.manual_seed(0)
    file = tmp_path / "weights.safetensors"
    save_file({n: v.contiguous() for n, v in open_clip.create_model("ViT-L-14").state_dict().items()}, file)
    monkeypatch.setattr("open_clip.factory.download_pretrained", lambda *_, **__: str(file))
    tags = open_clip.list_pretrained_tags_by_model("ViT-L-14")
    for tag in tags:
        expected = open_clip.get_pretrained_cfg("ViT-L-14", tag)["mean"]
        for size in (None, 42):
            model = build_model(ModelConfig(name="ViT-L-14", pretrained=tag, image_size=size), 0)
            assert model.mean == list(expected), tag
            assert model.image_size == (size or 28)


def test_timms_own_files_are_read_too(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(0)
    plain = timm.create_model("test_vit", num_classes=0)
    save_file(plain.state_dict(), tmp_path / "vit.safetensors")
    source = str(tmp_path / "vit.safetensors")
    model = build_model(ModelConfig(name="timm:test_vit", pretrained=source), 0)
    image = torch.rand(1, 3, 160, 160)
    with torch.inference_mode():
        torch.testing.assert_close(model.eval().encoder(image)[0], plain.eval()(image))
    assert build_model(ModelConfig(name="timm:test_vit", pretrained=source, image_size=96), 0).image_size == 96


def test_what_cannot_be_built_is_refused_with_the_reason() -> None:
    with pytest.raises(UserError, match=r"timm has no model 'resnet5O'\. Did you mean 'resnet50'"):
        build_model(ModelConfig(name="timm:resnet5O", pretrained="none"), 0)
    with pytest.raises(
        UserError, match="timm:resnet18 has no tags, and 'openai' is not a file: use hub, none or a file"
    ):
        build_model(ModelConfig(name="timm:resnet18", pretrained="openai"), 0)
    with pytest.raises(UserError, match="RN50 does not take images of 20 px") as caught:
        build_model(ModelConfig(name="RN50", pretrained="none", image_size=20), 0)
    assert caught.value.setting == "model.image_size"
    for name in ("timm:", "timm:res net", "hf-hub:x", "hf-hub:../../x/y"):
        with pytest.raises(UserError):
            check_model_name(name)
    check_model_name("hf-hub:timm/ViT-B-16-SigLIP2")
    check_weights("timm:resnet50.tv2_in1k", "hub")
    with pytest.raises(UserError, match="use hub, none or a file"):
        check_weights("timm:resnet50.tv2_in1k", "openai")


def test_a_text_tower_of_transformers_is_not_needed_without_a_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.model.towers.find_spec", lambda name: None)
    name = "xlm-roberta-base-ViT-B-32"
    assert build_model(ModelConfig(name=name, pretrained="none", image_size=64), 0).image_size == 64
    with pytest.raises(UserError, match="pip install transformers"):
        build_model(ModelConfig(name=name, pretrained="laion5b_s13b_b90k"), 0)


def test_the_order_of_the_weights_is_that_of_checkpoints() -> None:
    """An optimizer's state names no weight: it goes by their order, and so does the state in earlier checkpoints."""
    names = [
        name for name, _ in build_model(ModelConfig(name="handreid-tiny", pretrained="none"), 0).named_parameters()
    ]
    assert names[:3] == [
        "encoder.trunk.class_embedding",
        "encoder.trunk.positional_embedding",
        "encoder.trunk.conv1.weight",
    ]
    assert names[-5:] == [
        "encoder.projection.weight",
        "necks.0.weight",
        "necks.0.bias",
        "necks.1.weight",
        "necks.1.bias",
    ]


def test_the_recipe_follows_the_family() -> None:
    data = {"data.source": "/hands"}
    clip, resnet = (resolve("ce", **data, **{"model.name": name}).train for name in ("ViT-L-14", "RN50"))
    assert (clip.lr, clip.epochs, clip.milestones, clip.warmup_from) == (5e-6, 60, [30, 50], 0.1)
    assert (resnet.lr, resnet.epochs, resnet.milestones, resnet.warmup_from) == (3.5e-4, 120, [40, 70], 0.01)
    assert (resnet.weight_decay, resnet.decay, resnet.warmup_epochs) == (5e-4, 0.1, 10)
    imagenet = resolve("ce", **data, **{"model.name": "timm:resnet50.tv2_in1k"})
    assert (imagenet.model.pretrained, imagenet.model.image_size, imagenet.train.lr) == ("hub", 324, 8e-5)
    vit = resolve("ce", **data, **{"model.name": "timm:vit_base_patch16_dinov3"})
    assert (vit.model.pretrained, vit.train.lr, vit.model.image_size) == ("hub", 5e-6, None)


def test_images_are_resized_as_the_weights_expect(hands: Path, tmp_path: Path) -> None:
    """The filter is the weights' own in training, in what is recorded and exported, and after a start from a run."""
    from PIL import Image

    name = "timm:resnet18.tv_in1k"  # published with a bilinear filter
    settings = {"model__name": name, "model__image_size": 32, "train__epochs": 1, "evaluation__test": False}
    config = small_config("ce", hands, **settings)
    setup = prepare(config)
    assert (setup.model.interpolation, setup.model.record["interpolation"]) == ("bilinear", "bilinear")
    image = Image.open(setup.split.root / setup.split.images[0].path).convert("RGB")
    for filter in (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC):
        square = np.asarray(image.resize((32, 32), filter, reducing_gap=3))
        assert np.array_equal(setup.images[0].numpy(), square) == (filter == Image.Resampling.BILINEAR)
    train_in(tmp_path / "run", config)
    assert build_model(started_from(config, tmp_path / "run", None), 0).interpolation == "bilinear"
    export(tmp_path / "run", tmp_path / "exported")
    written = json.loads((tmp_path / "exported" / "open_clip_config.json").read_text())
    assert written["preprocess_cfg"]["interpolation"] == "bilinear"
    assert (
        build_model(ModelConfig(name="MobileCLIP-S1", pretrained="none", image_size=64), 0).interpolation == "bilinear"
    )
    earlier = {key: value for key, value in setup.model.record.items() if key != "interpolation"}
    assert build_model(config.model, 0, earlier).interpolation == "bicubic"  # as 0.1.0 resized everything


def test_what_open_clip_would_build_otherwise_is_not_exported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rotary positions have no shape that could differ: the weights load at any size, and the model is another."""
    from types import SimpleNamespace

    name = "timm:vit_small_patch16_rope_mixed_224"
    model = build_model(ModelConfig(name=name, pretrained="none", image_size=96), 0)
    run = SimpleNamespace(model=SimpleNamespace(name=name)), model
    monkeypatch.setattr("engine.evaluation.export.load_trained", lambda _: run)
    with pytest.raises(UserError, match=r"only at its native size, but .* was trained at 96 px"):
        export(tmp_path / "run", tmp_path / "exported")
    assert not (tmp_path / "exported").exists()
