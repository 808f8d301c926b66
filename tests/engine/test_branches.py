"""MBA-Net: branches beside ResNets and vision transformers, through everything that a run does with a model."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import pytest
import torch
from torch import nn

from engine.contract import run_files
from engine.contract.combos import combo_name
from engine.contract.config import ModelConfig, resolve
from engine.contract.errors import UserError
from engine.contract.terms import TERMS
from engine.evaluation.export import export
from engine.evaluation.trained_model import load_trained
from engine.model.attention import ChannelAttention, SpatialAttention
from engine.model.branches import Branches, resize_shifts
from engine.model.depth import depths
from engine.model.encoder import ImageEncoder
from engine.model.reid_model import ReIDModel, build_model
from engine.training.optimizers import build_optimizers
from engine.training.setup import prepare
from tests.support.encoders import live
from tests.support.training import events_of, small_config, train_in

FEW = {"train__epochs": 1, "evaluation__test": False}
FAMILIES = [
    ("timm:test_resnet", 64, 96),
    pytest.param("handreid-tiny", None, 96, marks=pytest.mark.long),
    pytest.param("timm:test_vit", 64, 96, marks=pytest.mark.long),
]


def model_of(name: str, size: int | None = None, branches: str = "mba") -> ReIDModel:
    settings = {"name": name, "pretrained": "none", "image_size": size, "branches": branches}
    return build_model(ModelConfig.model_validate(settings), 0).eval()


def branches_of(model: ReIDModel) -> Branches:
    assert model.encoder.branches is not None
    return model.encoder.branches


def narrow_clip_resnet() -> nn.Module:
    settings = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}
    text = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 1, "layers": 1}
    return open_clip.model.CLIP(32, settings, text).visual


@pytest.mark.parametrize(("name", "size", "other"), FAMILIES)
def test_branches_live_through_everything(name: str, size: int | None, other: int, hands: Path, tmp_path: Path) -> None:
    live(name, size, other, hands, tmp_path, combo="mba_net")


@pytest.mark.long
@pytest.mark.parametrize("name", ["RN50", "ViT-B-32", "timm:resnet50"])
def test_branches_live_through_everything_at_full_width(name: str, hands: Path, tmp_path: Path) -> None:
    live(name, 64, 96, hands, tmp_path, combo="mba_net")


def test_a_new_branch_gives_the_encoders_own_feature() -> None:
    """γ is 0 and the stage a copy, so on a ResNet with its last stride 1 all three are one."""
    model = model_of("timm:test_resnet", 64)
    with torch.inference_mode():
        own, spatial, channel = model.encoder(torch.randn(2, 3, 64, 64))
    torch.testing.assert_close(spatial, own)
    torch.testing.assert_close(channel, own)


def test_a_transformers_branch_starts_from_its_last_block_on_the_patches() -> None:
    model = model_of("handreid-tiny")  # which pools the mean of the patches after the last norm, as a branch does
    with torch.inference_mode():
        own, _, spatial, channel = model.encoder(torch.randn(2, 3, 64, 64))
    torch.testing.assert_close(spatial, own)
    torch.testing.assert_close(channel, own)


def test_clips_resnet_keeps_its_own_feature_and_its_branches_keep_the_size_of_the_map() -> None:
    torch.manual_seed(0)
    visual, image = narrow_clip_resnet().eval(), torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        before = visual(image)
        encoder = ImageEncoder(visual, Branches(visual, 64, "RN50")).eval()
        _, projected, spatial, channel = encoder(image)
        torch.testing.assert_close(projected, before)
        assert spatial.shape == channel.shape == (2, 256)
        assert encoder.branches is not None
        stage = encoder.branches.spatial.stage
        assert stage(torch.randn(2, 128, 4, 4)).shape == (2, 256, 4, 4)


def test_each_image_keeps_its_own_place_and_classes_of_tokens_pass_by() -> None:
    model = model_of("timm:test_vit", 64)
    for module in branches_of(model).modules():
        if isinstance(module, SpatialAttention | ChannelAttention):
            nn.init.constant_(module.gamma, 0.5)
    images = torch.randn(3, 3, 64, 64)
    with torch.inference_mode():
        together = model.encoder(images)
        alone = model.encoder(images[2:])
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one[2:], other, rtol=1e-4, atol=1e-5)


def test_heads_are_the_papers() -> None:
    model = model_of("timm:test_resnet", 64)
    linear, norm, relu, dropout = model.necks[1].children()
    assert isinstance(relu, nn.LeakyReLU) and isinstance(dropout, nn.Dropout)
    assert isinstance(linear, nn.Linear) and isinstance(norm, nn.BatchNorm1d)
    assert linear.weight.shape == (96, 96) and norm.bias.requires_grad
    assert (relu.negative_slope, dropout.p) == (0.1, 0.5)
    image = torch.randn(4, 3, 64, 64)
    with torch.inference_mode():
        features = model(image)
        expected = relu(norm(linear(features[1].before)))
        torch.testing.assert_close(features[1].after, expected)
        joined = model.embed(image, "before")
    assert joined.shape == (4, 3 * 96)
    torch.testing.assert_close(joined.norm(dim=1), torch.ones(4))


def test_new_weights_learn_at_the_rate_of_the_heads_and_copied_ones_at_the_encoders(hands: Path) -> None:
    config = small_config("mba_net", hands, train__lr=1e-5, train__head_lr=1e-3)
    setup = prepare(config)
    rates = {id(w): g["base_lr"] for g in setup.optimizers.main.param_groups for w in g["params"]}
    found = {name: rates[id(weight)] for name, weight in setup.model.encoder.named_parameters()}
    assert {rate for name, rate in found.items() if ".stage." in name or not name.startswith("branches.")} == {1e-5}
    assert {rate for name, rate in found.items() if ".first." in name or ".second." in name} == {1e-3}
    assert {rates[id(weight)] for weight in setup.model.necks.parameters()} == {1e-3}
    depth = depths(setup.model.encoder)
    assert {depth.of[name] for name in found if ".stage." in name} == {depth.blocks}
    decayed = build_optimizers(config.train.model_copy(update={"layer_decay": 0.5}), setup.model, setup.objective)
    stage = branches_of(setup.model).channel.stage.get_parameter("ln_1.weight")
    [rate] = [g["base_lr"] for g in decayed.main.param_groups if any(w is stage for w in g["params"])]
    assert rate == 0.5e-5


@pytest.mark.parametrize("term", [name for name, term in TERMS.items() if not term.texts])
def test_the_gradient_of_every_term_reaches_every_branch(term: str, hands: Path) -> None:
    setup = prepare(small_config(term, hands, model__branches="mba"))
    chosen = setup.sampler.batch(0)
    setup.model.train()
    torch.manual_seed(0)
    features = setup.model(setup.augmentation.plain(setup.images[setup.train[chosen]]))
    assert len(features) == 4
    setup.objective(features, setup.target[chosen]).terms[term].backward()
    for name, weight in setup.model.encoder.named_parameters():
        waits = ".first." in name or ".second." in name  # behind a γ of 0
        if not waits or name.endswith("gamma"):
            assert weight.grad is not None and weight.grad.abs().sum() > 0, name


def test_texts_are_compared_with_the_encoders_own_projection(hands: Path) -> None:
    setup = prepare(small_config("i2t", hands, model__branches="mba"))
    assert setup.objective.joint == setup.model.encoder.own_features - 1 == 1


def test_all_the_attention_learns_from_the_second_step(hands: Path, tmp_path: Path) -> None:
    config = small_config("mba_net", hands, **FEW)
    train_in(tmp_path / "run", config)
    begin = build_model(config.model, config.seed).encoder
    _, trained = load_trained(tmp_path / "run")
    after = trained.encoder.state_dict()
    learnt = {name for name, _ in begin.named_parameters()}
    same = {name for name, value in begin.state_dict().items() if name in learnt and torch.equal(value, after[name])}
    # a bias before a batch norm gets no gradient but rounding
    assert not {name for name in same if not name.endswith(".0.bias")}


def test_the_sum_of_the_branches_losses_is_descended(hands: Path) -> None:
    """The paper adds the cross-entropies of three heads; `ce` is their mean."""
    setup = prepare(small_config("mba_net", hands, model__name="timm:test_resnet", model__image_size=64))
    chosen = setup.sampler.batch(0)
    setup.model.eval()
    features = setup.model(setup.augmentation.plain(setup.images[setup.train[chosen]]))
    target = setup.target[chosen]
    loss = setup.objective(features, target)
    heads = setup.objective.parts["ce"]
    assert len(heads) == 3
    torch.testing.assert_close(loss.total, sum(head(f.after, target) for head, f in zip(heads, features, strict=True)))


def test_center_loss_is_added_on_every_branch(hands: Path) -> None:
    setups = [prepare(small_config(combo, hands, model__branches="mba")) for combo in ("ce", "ce+center:1")]
    totals = []
    for setup in setups:
        chosen = setup.sampler.batch(0)
        setup.model.train()
        torch.manual_seed(0)
        features = setup.model(setup.augmentation.plain(setup.images[setup.train[chosen]]))
        loss = setup.objective(features, setup.target[chosen])
        loss.total.backward()
        totals.append((loss.total - loss.terms["ce"]).item())
    assert totals[0] == pytest.approx(0, abs=1e-6)
    distances = [0.5 * each.before.square().sum(dim=1).mean().item() for each in features]  # the centers are at 0
    assert totals[1] == pytest.approx(sum(distances) / 4, rel=1e-4)
    one, other = (branches_of(each.model).spatial.stage.get_parameter("ln_1.weight").grad for each in setups)
    assert one is not None and other is not None and not torch.allclose(one, other)


def test_two_classes_are_learnt(tmp_path: Path) -> None:
    from engine.data import synthetic

    synthetic.write(tmp_path / "two", train_identities=2, test_identities=2, images=6, seed=0, size=64)
    settings = {"train__epochs": 12, "train__ids_per_batch": 2, "train__images_per_id": 4, "train__lr": 3e-4}
    settings |= {"evaluation__test": False, "evaluation__every": 12}
    config = small_config("mba_net", tmp_path / "two", **settings)
    train_in(tmp_path / "run", config)
    losses = [step["terms"]["ce"] for step in events_of(tmp_path / "run", "step")]
    least = 0.199  # smoothing 0.1 leaves the entropy of (0.95, 0.05)
    assert losses[0] == pytest.approx(0.693, abs=0.01)
    assert least < losses[-1] < 0.55
    begin = branches_of(build_model(config.model, config.seed)).state_dict()
    after = branches_of(load_trained(tmp_path / "run")[1]).state_dict()
    for branch in ("spatial", "channel"):
        name = f"{branch}.stage.ln_1.weight"
        assert not torch.equal(begin[name], after[name])  # a classifier alone would tell two classes apart


def test_a_start_from_a_run_continues_where_it_ended(hands: Path, tmp_path: Path) -> None:
    """Branches and their normalisation are reloaded: the report before training is the earlier run's last."""
    train_in(tmp_path / "first", small_config("mba_net", hands, train__precision="float32"))
    settings = {"model__pretrained": str(tmp_path / "first"), "train__epochs": 1, "train__precision": "float32"}
    train_in(tmp_path / "second", small_config("mba_net", hands, seed=3, **settings))
    last = json.loads((tmp_path / "first" / run_files.EVALUATION / run_files.SUMMARY).read_text())
    [before] = [event for event in events_of(tmp_path / "second", "evaluation") if event["stage"] == "before"]
    assert before["mAP"] == pytest.approx(last["mAP"], abs=1e-6)
    plain = model_of("handreid-tiny", branches="none")
    taken = build_model(ModelConfig(name="handreid-tiny", pretrained=str(tmp_path / "first")), 0)
    assert len(taken.dims) == len(plain.dims) == 2  # without branches, the encoder alone is taken over

    both = {"name": "handreid-tiny", "pretrained": str(tmp_path / "first"), "branches": "mba"}
    larger = branches_of(build_model(ModelConfig.model_validate(both | {"image_size": 96}), 0))
    _, trained = load_trained(tmp_path / "first")
    rows, resized = (each.spatial.first.get_parameter("rows") for each in (branches_of(trained), larger))
    assert torch.equal(resized, resize_shifts(rows, 2 * 6 - 1))
    other = ModelConfig.model_validate(both | {"name": "timm:test_vit"})
    with pytest.raises(UserError, match="does not fit this model"):
        build_model(other, 0)


def test_shifts_keep_their_ends_and_their_middle_in_another_size() -> None:
    table = torch.randn(7, 3)
    larger = resize_shifts(table, 13)
    torch.testing.assert_close(larger[::2], table)
    torch.testing.assert_close(resize_shifts(larger, 7), table)


def test_export_says_what_it_leaves_out(hands: Path, tmp_path: Path) -> None:
    for name, size, left in (
        ("handreid-tiny", None, "the features are those of the global branch"),
        ("timm:test_resnet", 64, "its layer4 has stride 2, that of the run stride 1"),
    ):
        run = tmp_path / name.replace(":", "_")
        train_in(run, small_config("mba_net", hands, model__name=name, model__image_size=size, **FEW))
        assert left in export(run, run / "exported")


def test_what_has_no_stage_to_branch_from_is_refused() -> None:
    with pytest.raises(UserError, match="neither a ResNet nor a vision transformer") as caught:
        model_of("timm:test_efficientnet", 64)
    assert caught.value.setting == "model.branches"


def test_the_combination_sets_the_branches_and_a_user_can_override_them() -> None:
    assert resolve("mba_net").model.branches == "mba"
    assert resolve("mba_net", **{"model.branches": "none"}).model.branches == "none"
    assert resolve("ce", **{"model.branches": "mba"}).model.branches == "mba"
    assert combo_name("ce:3") == "ce:3"  # is no mba_net: it has no branches
    resnet = resolve("mba_net", **{"data.source": "/hands", "model.name": "timm:resnet50.tv2_in1k"})
    train, augment = resnet.train, resnet.augment
    assert (resnet.model.image_size, train.lr, train.head_lr, train.weight_decay) == (324, 8e-5, 8e-4, 5e-4)
    assert (train.epochs, train.milestones, train.decay, train.warmup_from) == (70, [40, 60], 0.5, 0.01)
    assert (augment.pad, augment.flip, augment.jitter, augment.erase) == (16, 0.5, 0.1, 0.0)
