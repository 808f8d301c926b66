"""The defects that the published code of the field has had, one test each: it fails when the defect is put in.

The numbers are those of the list in docs/protocol.md.
"""

from __future__ import annotations

import csv
import random
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from engine.contract.config import EvaluationConfig
from engine.contract.terms import TERMS
from engine.evaluation.evaluate import BATCH, extract
from engine.losses.objective import Objective
from engine.model.reid_model import Feature, build_model
from engine.training.schedule import rate_factor
from engine.training.setup import prepare
from tests.support.training import events_of, small_config, train_in

COMBOS = ["ce", "ce_triplet", "ce_triplet_center", "ce_arcface", "ce+cosface+supcon+circle", "clip_reid", "clip_handid"]


@pytest.mark.parametrize("combo", COMBOS)
def test_1_the_whole_encoder_learns_in_every_combination(combo: str, hands: Path, tmp_path: Path) -> None:
    config = small_config(combo, hands, train__epochs=1)
    train_in(tmp_path / "run", config)
    before = build_model(config.model, config.seed).encoder.open_clip_state()
    after = load_file(tmp_path / "run" / "checkpoints" / "best" / "model.safetensors")
    still = [name for name, value in before.items() if torch.equal(value, after[name])]
    assert not still


@pytest.mark.parametrize("combo", COMBOS)
def test_2_the_reported_terms_weighted_add_up_to_the_total(combo: str, hands: Path, tmp_path: Path) -> None:
    config = small_config(combo, hands, train__epochs=1)
    train_in(tmp_path / "run", config)
    steps = events_of(tmp_path / "run", "step")
    assert steps
    for step in steps:
        assert set(step["terms"]) == set(config.loss)
        weighted = sum(config.loss[term]["weight"] * value for term, value in step["terms"].items())
        assert step["total"] == pytest.approx(weighted, rel=1e-5)


@pytest.mark.parametrize("term", TERMS)
def test_2_the_gradient_of_every_term_reaches_the_encoder(term: str, hands: Path) -> None:
    setup = prepare(small_config(term, hands))
    if learnt := setup.objective.learnt_texts():
        learnt.texts.normal_()
    chosen = setup.sampler.batch(0)
    setup.model.train()
    features = setup.model(setup.augmentation.plain(setup.images[setup.train[chosen]]))
    setup.objective(features, setup.target[chosen]).terms[term].backward()
    gradients = [weight.grad for weight in setup.model.encoder.parameters()]
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)


@pytest.mark.parametrize("term", ["arcface", "cosface", "triplet", "facenet", "circle"])
def test_2_a_margin_is_applied(term: str) -> None:
    torch.manual_seed(0)
    values = torch.randn(12, 8)
    features, target = [Feature(values, values)], torch.arange(12) // 3
    losses = []
    for margin in (0.0, 0.3):
        torch.manual_seed(1)
        options = TERMS[term].defaults | {"margin": margin}
        losses.append(Objective({term: options}, [8], 4)(features, target).total.item())
    assert losses[1] != pytest.approx(losses[0], rel=1e-3)


def test_3_centers_move_to_their_class_means_at_their_own_rate(hands: Path) -> None:
    setup = prepare(small_config("ce_triplet_center", hands))
    setup.optimizers.set_rates(0.01)  # the schedule of the encoder is not theirs
    chosen = setup.sampler.batch(0)
    target = setup.target[chosen]
    setup.model.train()
    features = setup.model(setup.augmentation.plain(setup.images[setup.train[chosen]]))
    before = [center.detach().clone() for center in setup.objective.parameters_of("center")]
    setup.objective(features, target).total.backward()
    setup.objective.unscale_own()
    setup.optimizers.step(clip_norm=0)
    for old, new, feature in zip(before, setup.objective.parameters_of("center"), features, strict=True):
        expected = old.clone()
        for identity in target.unique():
            own = target == identity
            expected[identity] -= 0.5 * (old[identity] - feature.before[own].detach()).sum(0) / len(target)
        torch.testing.assert_close(new.detach(), expected, rtol=1e-4, atol=1e-5)
        assert not torch.equal(new.detach(), old)


@pytest.mark.parametrize("term", TERMS)
def test_4_each_term_sees_its_side_of_the_neck(term: str) -> None:
    torch.manual_seed(0)
    before, after = (torch.randn(12, 8, requires_grad=True) for _ in range(2))
    read = SimpleNamespace(forward=lambda words: words[:, 0], width=8)  # in the place of a text tower
    objective = Objective({term: TERMS[term].defaults}, [8], 4, read)
    objective([Feature(before, after)], torch.arange(12) // 3).total.backward()
    normed = term in ("ce", "arcface", "cosface", "facenet", "supcon", "circle")
    assert (after.grad is not None) == normed
    assert (before.grad is not None) != normed


def test_5_the_learning_rate_of_a_run_follows_its_schedule(hands: Path, tmp_path: Path) -> None:
    config = small_config("ce", hands, train__epochs=4, train__schedule="cosine", train__warmup_epochs=1)
    train_in(tmp_path / "run", config)
    steps = events_of(tmp_path / "run", "step")
    per_epoch = len(steps) // 4
    expected = [config.train.lr * rate_factor(config.train, step, per_epoch) for step in range(len(steps))]
    assert [step["lr"] for step in steps] == pytest.approx(expected)


def test_6_training_and_evaluation_see_one_preprocessing(hands: Path) -> None:
    off = {f"augment__{kind}": 0 for kind in ("flip", "pad", "erase", "jitter", "rotate", "zoom")}
    setup = prepare(small_config("ce", hands, **off))
    images = setup.images[:4]
    assert images.shape[1:3] == (setup.model.image_size,) * 2
    trained = setup.augmentation.random(images, torch.Generator())
    evaluated = setup.augmentation.plain(images)
    torch.testing.assert_close(trained, evaluated)
    assert evaluated.mean().abs() < 3  # normalised, not bytes


def test_8_every_image_is_evaluated_the_last_short_batch_too(hands: Path) -> None:
    setup = prepare(small_config("zero_shot", hands, train__precision="float32"))
    images = setup.images.repeat(-(-(BATCH + 7) // len(setup.images)), 1, 1, 1)[: BATCH + 7]
    features = extract(setup.model, images, setup.augmentation, setup.device, EvaluationConfig())
    assert len(features) == BATCH + 7
    alone = extract(setup.model, images[-3:], setup.augmentation, setup.device, EvaluationConfig())
    torch.testing.assert_close(features[-3:], alone, rtol=1e-4, atol=1e-5)


def test_8_test_labels_change_nothing_but_the_report(hands: Path, tmp_path: Path) -> None:
    """Shuffle whose the test images are: weights, selection and validation must not notice."""
    shuffled = tmp_path / "shuffled"
    shutil.copytree(hands, shuffled)
    with (hands / "HandInfo.csv").open() as file:
        rows = list(csv.DictReader(file))
    test = [row for row in rows if int(row["id"]) > 1050]
    labels = [row["id"] for row in test]
    random.Random(0).shuffle(labels)
    for row, label in zip(test, labels, strict=True):
        row["id"] = label
    with (shuffled / "HandInfo.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    for name, folder in (("one", hands), ("other", shuffled)):
        train_in(tmp_path / name, small_config("ce_triplet", folder))
    one, other = (load_file(tmp_path / name / "checkpoints/best/model.safetensors") for name in ("one", "other"))
    assert all(torch.equal(one[name], other[name]) for name in one)

    def validations(name: str) -> list[float]:
        return [e["mAP"] for e in events_of(tmp_path / name, "evaluation") if e["stage"] == "validation"]

    assert validations("one") == validations("other")


def test_8_no_identity_is_both_trained_on_and_tested(hands: Path) -> None:
    split = prepare(small_config("ce", hands)).split
    trained = {split.images[image].identity for image in (*split.train, *split.val)}
    tested = {split.images[image].identity for trial in split.trials for image in (*trial.query, *trial.gallery)}
    assert not trained & tested


def test_9_classifier_and_optimizer_are_in_the_checkpoint(hands: Path, tmp_path: Path) -> None:
    from engine.training.checkpoint import load_newest
    from engine.training.stopping import StopRequest

    stop = StopRequest()
    stop.requested = True  # stop after the first step
    assert train_in(tmp_path / "run", small_config("ce_triplet_center", hands), stop) == "stopped"
    checkpoint = load_newest(tmp_path / "run" / "checkpoints")
    assert checkpoint is not None
    learnt = [name for name in checkpoint.weights if name.startswith("objective.")]
    assert len([name for name in learnt if "linear" in name]) == 2
    assert len([name for name in learnt if "centers" in name]) == 2
    assert checkpoint.optimizers[0]["state"]
