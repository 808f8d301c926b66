"""A term is one declaration and one implementation: everything else that knows terms follows from these two."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import engine.losses
from engine.contract.combos import COMBOS, combo_name, find_combo
from engine.contract.config import flatten, parse_setting, resolve
from engine.contract.errors import UserError
from engine.contract.terms import TERMS, Option, Range, Term, terms_table
from engine.losses.objective import Objective
from engine.model.reid_model import Feature, bn_neck
from engine.training.optimizers import build_optimizers
from engine.training.setup import prepare
from handreid_tui.cli.combos import show_combos
from handreid_tui.ui.screens.launch.combo_details import about
from tests.support.training import small_config

DOCS = Path(__file__).parents[2] / "docs" / "losses.md"


class Prototypes(nn.Module):
    """A loss that learns: the squared distance to a learnt prototype of each class, times `pull`."""

    def __init__(self, dim: int, classes: int, pull: float) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(torch.ones(classes, dim))
        self.pull = pull

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        return self.pull * (features - self.prototypes[target]).square().mean()


@pytest.fixture
def proto(monkeypatch: pytest.MonkeyPatch) -> str:
    """The term `proto`, declared and implemented; each in its one place."""
    term = Term(
        title="Prototypes",
        does="Pulls each image to a prototype.",
        formula="pull · mean ‖x - p_y‖²",
        source="nobody",
        code="prototypes.py",
        side="after",
        options={
            "pull": Option(2.0, "strength", open_low=True, high=8.0, tune=Range(0.5, 4.0, log=True)),
            "rate": Option(0.25, "learning rate of the prototypes"),
        },
        own_rate="rate",
        aliases=("prototypical",),
    )
    monkeypatch.setitem(TERMS, "proto", term)
    monkeypatch.setitem(engine.losses.LOSSES, "proto", Prototypes)
    return "proto"


def test_a_new_terms_options_are_checked(proto: str) -> None:
    assert resolve("ce + prototypical:0.5").loss[proto] == {"weight": 0.5, "pull": 2.0, "rate": 0.25}
    assert flatten(resolve("proto", **{"loss.prototypical.pull": 3.0}))["loss.proto.pull"] == 3.0
    for wrong, said in ((0, "must be positive"), (9, "at most 8"), ("strong", "must be a number")):
        with pytest.raises(UserError, match=rf"proto\.pull is .*{said}"):
            resolve("proto", **{"loss.proto.pull": wrong})


def test_a_new_term_is_part_of_the_objective_and_its_parameters_have_their_own_sgd(proto: str) -> None:
    before, after = torch.randn(6, 4, requires_grad=True), torch.randn(6, 4, requires_grad=True)
    loss = resolve("ce+proto:0.5").loss
    objective = Objective(loss, [4], 3)
    value = objective([Feature(before, after)], torch.arange(6) // 2).terms[proto]
    assert value.item() == pytest.approx(2.0 * (after - 1).square().mean().item())
    assert objective.own_rates == {proto: 0.25}
    (prototypes,) = objective.parameters_of(proto)
    assert all(weight is not prototypes for weight in objective.heads())


def test_a_new_term_trains(proto: str, hands: Path) -> None:
    setup = prepare(small_config("ce+proto", hands))
    optimizers = build_optimizers(setup.config.train, setup.model, setup.objective)
    assert list(optimizers.own) == [proto]
    assert optimizers.own[proto].param_groups[0]["lr"] == 0.25


def test_a_new_term_is_shown_by_combos_launch_and_docs(proto: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_combos({}, as_json=True)
    assert json.loads(capsys.readouterr().out)["terms"][proto]["options"] == {"pull": 2.0, "rate": 0.25}
    show_combos({}, as_json=False)
    assert "Pulls each image to a prototype." in " ".join(capsys.readouterr().out.split())
    assert "Prototypes" in about("proto", find_combo("proto"), None).plain
    assert "| `proto` | pull · mean ‖x - p_y‖² | 1 | pull 2, rate 0.25 | after the neck |" in terms_table()


def test_the_docs_hold_the_table_of_terms() -> None:
    assert terms_table() in DOCS.read_text()  # else paste what terms_table() returns


@pytest.mark.parametrize("name", TERMS)
def test_every_term_is_whole(name: str) -> None:
    term = TERMS[name]
    assert name in engine.losses.LOSSES
    assert (Path(engine.losses.__file__).parent / term.code).is_file()
    for option in term.all_options.values():
        assert option.problem(option.default) == ""
        if option.tune:
            assert option.problem(option.tune.low) == option.problem(option.tune.high) == ""
            assert option.tune.low < option.tune.high
            assert not option.tune.log or option.tune.low > 0
    assert not term.own_rate or term.own_rate in term.options
    options = {key: option.default for key, option in term.options.items() if key != term.own_rate}
    tower = {"read": lambda words: words[:, 0], "width": 8} if term.texts == "inverted" else {}
    losses = engine.losses.LOSSES[name](8, 4, **options, **tower)
    assert losses(torch.randn(8, 8), torch.arange(8) // 2).ndim == 0


@pytest.mark.parametrize("low_open", [True, False])
def test_the_ends_of_a_range(low_open: bool) -> None:
    option = Option(1.0, "x", low=0.0, high=math.pi, open_low=low_open, open_high=True)
    assert bool(option.problem(0)) is low_open
    assert option.problem(math.pi) and option.problem(-1) and option.problem(math.nan) and option.problem(math.inf)
    assert not option.problem(3.1)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("cross_entropy", "ce"),
        ("softmax", "ce"),
        ("id", "ce"),
        ("ID loss", "ce"),
        ("CE", "ce"),
        ("cross-entropy loss + triplet loss", "ce_triplet"),
        ("cross_entropy + triplet + center", "ce_triplet_center"),
        ("center+ce+triplet", "ce_triplet_center"),
        ("ce + triplet + center:0.0005", "ce_triplet_center"),
        ("ce+triplet+center:0.01", "ce+triplet+center:0.01"),
        ("CE + ArcFace", "ce_arcface"),
        ("ce + triplet : 0.5", "ce+triplet:0.5"),
        ("cosface + softmax", "cosface+ce"),
        ("ce_triplet", "ce_triplet"),
        ("Zero Shot", "zero_shot"),
    ],
)
def test_the_words_of_the_field_name_one_combination(written: str, name: str) -> None:
    assert combo_name(written) == name
    config = resolve(written)
    assert config.combo == name
    assert config == resolve(name)
    assert find_combo(written).weights == (COMBOS[name].weights if name in COMBOS else find_combo(name).weights)


def test_a_setting_of_a_term_accepts_its_other_names() -> None:
    assert parse_setting("loss.cross_entropy.smoothing=0.2") == ("loss.ce.smoothing", 0.2)


def test_a_term_that_compares_images_needs_two_of_each() -> None:
    with pytest.raises(UserError, match="at least 2 images of each") as caught:
        resolve("ce_triplet", **{"train.images_per_id": 1})
    assert caught.value.setting == "train.images_per_id"
    assert resolve("ce", **{"train.images_per_id": 1}).train.images_per_id == 1


@pytest.mark.parametrize("term", ["arcface", "cosface", "facenet", "supcon", "circle"])
def test_terms_of_cosines_do_not_see_what_all_features_share(term: str) -> None:
    """Features of an untrained encoder differ by little beside their mean, which makes all of their cosines large."""
    torch.manual_seed(0)
    features, identities = torch.randn(12, 16), torch.arange(12) // 3
    neck = bn_neck(16)
    objective = Objective({term: TERMS[term].defaults}, [16], 4)
    alone, beside_a_mean = (
        objective([Feature(each, neck(each))], identities).total.item() for each in (features, features + 20)
    )
    assert beside_a_mean == pytest.approx(alone, rel=1e-3)
