"""Side information: the embedding of the aspect, what it adds, and that every image gets its own everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import load_file

from engine.contract import run_files
from engine.contract.choices import ASPECTS
from engine.contract.config import DataConfig, ModelConfig, RunConfig
from engine.contract.errors import UserError
from engine.data import synthetic
from engine.evaluation.embed import embed
from engine.evaluation.evaluate import images_of
from engine.evaluation.export import export
from engine.evaluation.score import score
from engine.evaluation.trained_model import load_trained
from engine.model.reid_model import ReIDModel, build_model
from engine.training.prompt_learning import image_features
from engine.training.setup import prepare
from handreid_tui.launch.plan import plan
from tests.support.training import StopAtStep, small_config, train_in

SETTINGS = {"data__subset": "all", "model__aspect_embedding": 0.5, "train__precision": "float32"}
FAST = {"train__head_lr": 0.03}  # so that the embedding is long after a few steps
EMBEDDING = "aspects.embedding"
POSITIONS = ("positional_embedding", "pos_embed")
DORSAL, PALMAR = ASPECTS.index("dorsal-right"), ASPECTS.index("palmar-left")


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two aspects of the hands of 6 people to train on and 4 to test on, 4 images each."""
    folder = tmp_path_factory.mktemp("sides") / "hands"
    synthetic.write(folder, 6, 4, 4, seed=0, size=64, aspects=("dorsal right", "palmar left"))
    return folder


@pytest.fixture(scope="module")
def trained(sides: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "whole"
    assert train_in(run, config(sides)) == "finished"
    return run


def config(sides: Path, combo: str = "ce", **settings: object) -> RunConfig:
    return small_config(combo, sides, **SETTINGS | FAST | settings)


def model_of(name: str, weight: float = 0.5) -> ReIDModel:
    return build_model(ModelConfig(name=name, pretrained="none", image_size=64, aspect_embedding=weight), 0).eval()


def fill(model: ReIDModel) -> torch.Tensor:
    aspects = model.encoder.aspects
    assert aspects
    return torch.nn.init.normal_(aspects.embedding, generator=torch.Generator().manual_seed(1)).detach()


@pytest.mark.parametrize(
    ("name", "places"), [("handreid-tiny", "positional_embedding"), ("timm:test_vit", "pos_embed")]
)
def test_every_token_gets_the_weighted_embedding_of_its_images_aspect(name: str, places: str) -> None:
    """The same vector on all tokens is the same vector on all positions."""
    model, plain = model_of(name), model_of(name, 0)
    added = 0.5 * fill(model)
    images, aspects = torch.randn(3, 3, 64, 64), torch.tensor([2, 0, 2])
    positions = next(value for name, value in plain.encoder.named_parameters() if name.endswith(POSITIONS))
    begin = positions.detach().clone()
    with torch.inference_mode():
        found = model.encoder(images, aspects)
        for row, aspect in enumerate(aspects.tolist()):
            positions.copy_(begin + added[aspect])
            for one, other in zip(found, plain.encoder(images[row : row + 1]), strict=True):
                torch.testing.assert_close(one[row : row + 1], other, rtol=1e-4, atol=1e-5)
        positions.copy_(begin)
        for one, other in zip(model.encoder(images), plain.encoder(images), strict=True):
            assert torch.equal(one, other)  # without aspects nothing is added, not even those of the last call


def test_a_new_embedding_changes_nothing_and_no_aspect_is_forgotten(sides: Path) -> None:
    model, plain = model_of("handreid-tiny"), model_of("handreid-tiny", 0)
    images, aspects = torch.randn(2, 3, 64, 64), torch.tensor([0, 3])
    with torch.inference_mode():
        assert torch.equal(model.embed(images, "before", aspects), plain.embed(images, "before"))
        with pytest.raises(ValueError, match="aspects are for a model that takes them"):
            model.embed(images, "before")


def test_training_moves_the_aspects_that_it_sees_and_evaluation_uses_them(sides: Path, trained: Path) -> None:
    """The defect: features of a test whose images all have the first aspect, or none."""
    _, model = load_trained(trained)
    embedding = load_file(trained / run_files.BEST_CHECKPOINT / run_files.MODEL)[EMBEDDING]
    assert model.encoder.aspects and torch.equal(model.encoder.aspects.embedding, embedding)
    moved = embedding.norm(dim=1) > 0.1
    assert [ASPECTS[place] for place in moved.nonzero().flatten()] == ["dorsal-right", "palmar-left"]
    setup = prepare(config(sides))
    images = images_of(setup.split.trials)
    pixels = setup.augmentation.plain(setup.images[list(images)])
    own = torch.tensor([ASPECTS.index(setup.split.images[image].identity.split("/")[0]) for image in images])
    assert set(own.tolist()) == {DORSAL, PALMAR}
    stored = load_file(trained / run_files.EVALUATION / run_files.FEATURES)["features"]
    with torch.inference_mode():
        torch.testing.assert_close(model.eval().embed(pixels, "before", own), stored, rtol=1e-4, atol=1e-5)
        others = model.embed(pixels, "before", DORSAL + PALMAR - own)
    assert ((others - stored).norm(dim=1) > 0.01).all()

    whole = json.loads((trained / run_files.EVALUATION / run_files.SUMMARY).read_text())
    again = score(trained, DataConfig(source=str(sides), subset="all", trials=2)).summary
    assert again["mAP"] == pytest.approx(whole["mAP"], abs=1e-6)
    assert score(trained, DataConfig(source=str(sides), subset="palmar-left", trials=2)).summary["rank1"] >= 0


def test_it_learns_at_the_rate_of_the_heads(sides: Path) -> None:
    setup = prepare(config(sides))
    aspects = setup.model.encoder.aspects
    assert aspects
    [rate] = [
        group["base_lr"]
        for group in setup.optimizers.main.param_groups
        if any(weight is aspects.embedding for weight in group["params"])
    ]
    assert rate == FAST["train__head_lr"]


def test_the_first_stage_sees_the_aspects_too(sides: Path) -> None:
    setup = prepare(config(sides, "clip_reid"))
    fill(setup.model)
    images = setup.augmentation.plain(setup.images[setup.train])
    own = torch.tensor([ASPECTS.index(setup.split.images[image].identity.split("/")[0]) for image in setup.split.train])
    with torch.inference_mode():
        expected = setup.model.eval().encoder(images, own)[setup.model.joint]
    torch.testing.assert_close(image_features(setup), expected, rtol=1e-4, atol=1e-4)


def test_a_run_with_it_resumes_bit_for_bit_and_is_a_start(sides: Path, trained: Path, tmp_path: Path) -> None:
    assert train_in(tmp_path / "broken", config(sides), StopAtStep(3)) == "stopped"
    assert train_in(tmp_path / "broken", config(sides)) == "finished"
    whole, broken = (
        load_file(run / run_files.BEST_CHECKPOINT / run_files.MODEL) for run in (trained, tmp_path / "broken")
    )
    assert whole.keys() == broken.keys() and all(torch.equal(whole[name], broken[name]) for name in whole)
    start = ModelConfig(name="handreid-tiny", pretrained=str(trained), aspect_embedding=2.0)
    aspects = build_model(start, 1).encoder.aspects
    assert aspects and torch.equal(aspects.embedding, whole[EMBEDDING])
    assert not build_model(start.model_copy(update={"aspect_embedding": 0.0}), 1).takes_aspects
    with pytest.raises(UserError, match="does not fit this model"):
        build_model(start.model_copy(update={"name": "timm:test_vit"}), 1)


def test_export_leaves_it_out_and_says_so(trained: Path, tmp_path: Path) -> None:
    said = export(trained, tmp_path / "exported")
    assert said == "The embedding of the aspect is left out, as open_clip takes images alone, so the features differ."
    alone = open_clip.create_model(f"local-dir:{tmp_path / 'exported'}").eval()
    _, model = load_trained(trained)
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        ours = model.eval().encoder(image)[1]
        torch.testing.assert_close(alone.encode_image(image), ours, rtol=1e-4, atol=1e-4)


def test_it_is_refused_where_it_has_no_meaning(hands: Path, sides: Path, trained: Path, tmp_path: Path) -> None:
    one_aspect = {"data.source": str(hands), "model.name": "handreid-tiny", "model.aspect_embedding": 1.0}
    with pytest.raises(UserError, match="needs several aspects, but dorsal-right has one: train on all of them"):
        plan(["ce"], [0], one_aspect, tmp_path / "runs")
    with pytest.raises(UserError, match="needs several aspects, but palmar-left has one"):
        prepare(config(sides, data__subset="palmar-left"))
    for name in ("RN50", "timm:test_resnet", "timm:test_convnext"):
        with pytest.raises(UserError, match="is not a vision transformer, whose tokens"):
            model_of(name)
    folders = tmp_path / "people"
    for image in range(4):
        for person in ("anna", "bert", "carl", "dora"):
            place = folders / person / f"{image}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(next((hands / "Hands").iterdir()).read_bytes())
    with pytest.raises(UserError, match=r"the data set does not state that of \w+: use a model without"):
        plan(["ce"], [0], one_aspect | {"data.source": str(folders)}, tmp_path / "runs")
    with pytest.raises(UserError, match=r"the data set does not state that of \w+: use a model without"):
        score(trained, DataConfig(source=str(folders)))
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps({"images": []}))
    with pytest.raises(UserError, match="trained with the aspect of each image"):
        embed(trained, listed, tmp_path / "out")
