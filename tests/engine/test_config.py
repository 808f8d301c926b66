"""A configuration is whole and checked, or one sentence says what is wrong."""

import json
from pathlib import Path

import pytest

from engine.contract.combos import COMBOS, Combo, find_combo
from engine.contract.config import RunConfig, flatten, parse_setting, resolve
from engine.contract.errors import UserError
from engine.contract.terms import TERMS


def test_the_missions_table_is_there() -> None:
    losses = {"zero_shot", "ce", "ce_triplet", "ce_triplet_center", "ce_arcface", "facenet", "ce_facenet"}
    assert set(COMBOS) == losses | {"clip_reid", "clip_handid", "mba_net"}
    assert COMBOS["ce_triplet_center"].weights == {"ce": 1.0, "triplet": 1.0, "center": 5e-4}


def test_an_expression_makes_a_combination() -> None:
    assert find_combo("ce+triplet:0.5+cosface").weights == {"ce": 1.0, "triplet": 0.5, "cosface": 1.0}
    assert find_combo("supcon").weights == {"supcon": 1.0}


@pytest.mark.parametrize(
    ("combo", "said"),
    [
        ("ce_tripet", "Did you mean 'ce_triplet'?"),
        ("ce+tripet", "Did you mean 'triplet'?"),
        ("ce+ce", "appears twice"),
        ("ce+triplet:much", "not a number"),
        ("ce+triplet:-1", "positive"),
        ("ce+triplet:nan", "number"),
    ],
)
def test_an_unknown_combination_is_named_with_the_way_out(combo: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        resolve(combo)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"train.epochs": -1}, "train.epochs"),
        ({"train.lr": 0}, "train.lr"),
        ({"train.epoch": 3}, "Did you mean 'train.epochs'"),
        ({"loss.triplet.margin": "hard"}, "triplet.margin"),
        ({"loss.triplet.marge": 1}, "no option 'marge'"),
        ({"loss.arcface.margin": 30}, "radians"),
        ({"device": "tpu"}, "device"),
        ({"data.gallery": "some"}, "data.gallery"),
        ({"combo.x": 1}, "no setting"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        resolve("ce+triplet+arcface", **settings)
    assert "\n" not in str(caught.value)


def test_drawn_hands_get_the_tiny_model_and_own_data_gets_clip() -> None:
    assert resolve("ce").model.name == "handreid-tiny"
    own = resolve("ce", **{"data.source": "/hands"})
    assert (own.model.name, own.model.pretrained, own.train.lr) == ("ViT-B-16", "openai", 5e-6)


def test_what_the_user_sets_stands_above_the_recipe() -> None:
    config = resolve("ce_triplet", 3, **{"train.epochs": 7, "loss.triplet.margin": "soft"})
    assert (config.seed, config.train.epochs) == (3, 7)
    assert config.loss["triplet"] == {"weight": 1.0, "margin": "soft"}


def test_options_of_an_own_combination_reach_the_loss() -> None:
    own = {"wide": Combo("CE + Triplet", "", {"ce": 1.0, "triplet": 0.5}, {"triplet": {"margin": 0.8}})}
    assert resolve("wide", 0, own).loss["triplet"] == {"weight": 0.5, "margin": 0.8}


def test_a_saved_configuration_is_read_back_whole(tmp_path: Path) -> None:
    config = resolve("ce_arcface", 2)
    config.save(tmp_path / "config.json")
    assert RunConfig.load(tmp_path / "config.json") == config
    assert flatten(config)["loss.arcface.scale"] == 30.0


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"combo": 3}', "[" * 100_000, '{"combo": "../../etc"}'])
def test_a_damaged_configuration_is_one_sentence(tmp_path: Path, damage: str) -> None:
    (tmp_path / "config.json").write_text(damage)
    with pytest.raises(UserError):
        RunConfig.load(tmp_path / "config.json")


def test_zero_shot_trains_nothing() -> None:
    config = resolve("zero_shot", **{"train.epochs": 5})
    assert (config.loss, config.train.epochs) == ({}, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train.epochs=3", ("train.epochs", 3)),
        ("device=cpu", ("device", "cpu")),
        ("train.milestones=[3, 5]", ("train.milestones", [3, 5])),
        ("loss.triplet.margin=soft", ("loss.triplet.margin", "soft")),
    ],
)
def test_settings_of_the_command_line(text: str, expected: tuple) -> None:
    assert parse_setting(text) == expected


def test_every_term_says_what_it_does_and_where_it_is_from() -> None:
    assert all(term.does.endswith(".") and term.source for term in TERMS.values())
    assert json.dumps({name: term.defaults for name, term in TERMS.items()})


def test_the_recipe_of_a_published_system_stands_above_the_models_and_below_the_users() -> None:
    own = {"system": Combo("System", "A published one.", {"ce": 1.0}, recipe={"train.epochs": 70, "train.decay": 0.5})}
    config = resolve("system", 0, own)
    assert (config.model.name, config.train.epochs) == ("handreid-tiny", 40)
    config = resolve("system", 0, own, **{"model.name": "ViT-B-16"})
    assert (config.train.epochs, config.train.decay, config.train.lr) == (70, 0.5, 5e-6)
    assert resolve("system", 0, own, **{"model.name": "ViT-B-16", "train.epochs": 3}).train.epochs == 3


def test_an_option_of_a_models_recipe_stands_below_the_combinations_own() -> None:
    assert resolve("clip_reid").loss["i2t"]["scale"] == 30
    assert resolve("clip_reid", **{"model.name": "ViT-B-16"}).loss["i2t"]["scale"] == 0
    assert resolve("clip_reid", **{"loss.i2t.scale": 5}).loss["i2t"]["scale"] == 5
    own = {"mine": Combo("Mine", "My own.", {"i2t": 1.0}, {"i2t": {"scale": 7.0}})}
    assert resolve("mine", 0, own).loss["i2t"]["scale"] == 7
    assert "i2t" not in resolve("ce").loss
