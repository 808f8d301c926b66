"""A run is a function of its configuration: repeated, interrupted or killed, it gives the same numbers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.training.setup import prepare
from tests.support.training import StopAtStep, events_of, small_config, train_in

WEIGHTS = "checkpoints/best/model.safetensors"


def same_weights(one: Path, other: Path) -> bool:
    first, second = load_file(one / WEIGHTS), load_file(other / WEIGHTS)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(hands: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        train_in(tmp_path / name, small_config("ce_triplet", hands, seed))
    assert same_weights(tmp_path / "one", tmp_path / "again")
    assert not same_weights(tmp_path / "one", tmp_path / "other")
    losses = [[step["total"] for step in events_of(tmp_path / name, "step")] for name in ("one", "again", "other")]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_a_stopped_and_resumed_run_is_bit_for_bit_the_uninterrupted_one(hands: Path, tmp_path: Path, step: int) -> None:
    config = small_config("ce_triplet_center", hands, train__epochs=3)
    assert train_in(tmp_path / "whole", config) == "finished"
    assert train_in(tmp_path / "broken", config, StopAtStep(step)) == "stopped"
    assert train_in(tmp_path / "broken", config) == "finished"
    assert same_weights(tmp_path / "whole", tmp_path / "broken")
    whole, broken = (events_of(tmp_path / name, "ended")[-1]["summary"] for name in ("whole", "broken"))
    for summary in (whole, broken):
        summary.pop("seconds")
    assert whole == broken
    steps = {event["step"]: event["total"] for event in events_of(tmp_path / "broken", "step")}
    assert steps == {event["step"]: event["total"] for event in events_of(tmp_path / "whole", "step")}
    means = [[(e["step"], e["total"]) for e in events_of(tmp_path / name, "epoch")] for name in ("whole", "broken")]
    assert means[0] == means[1]


def test_a_resumed_run_needs_its_last_checkpoint_alone(hands: Path, tmp_path: Path) -> None:
    config = small_config("ce", hands, train__epochs=3)
    train_in(tmp_path / "whole", config)
    assert train_in(tmp_path / "broken", config, StopAtStep(5)) == "stopped"
    shutil.rmtree(tmp_path / "broken" / "checkpoints" / "best")  # as a kill between two renames leaves it
    assert train_in(tmp_path / "broken", config) == "finished"
    assert same_weights(tmp_path / "whole", tmp_path / "broken")


def test_a_loss_that_is_no_number_ends_the_run_with_step_and_term(hands: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    rising = {"train__schedule": "constant", "train__warmup_epochs": 4, "train__lr": 1e30, "train__clip_norm": 0}
    config = small_config("ce_triplet", hands, **rising, train__epochs=8)
    config.save(run / "config.json")
    done = subprocess.run([sys.executable, "-m", "engine", "train", str(run)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (ended,) = events_of(run, "ended")
    assert ended["status"] == "failed"
    assert ended["reason"]["kind"] == "nan"
    assert "at step" in ended["reason"]["message"]
    assert any(term in ended["reason"]["message"] for term in ("'ce'", "'triplet'"))


def test_the_report_can_be_recomputed_from_what_is_stored(hands: Path, tmp_path: Path) -> None:
    train_in(tmp_path / "run", small_config("ce", hands))
    folder = tmp_path / "run" / "evaluation"
    stored = load_file(folder / "features.safetensors")
    trials = load_file(folder / "trials.safetensors")
    features, identity = stored["features"].double(), stored["identity"]
    torch.testing.assert_close(features.norm(dim=1), torch.ones(len(features), dtype=torch.float64), rtol=0, atol=1e-5)
    rank1, precision = [], []
    for trial in ("00", "01"):
        for row, query in enumerate(trials[f"{trial}/query"].tolist()):
            gallery = trials[f"{trial}/gallery"]
            order = gallery[(features[gallery] @ features[query]).argsort(descending=True)]
            hits = (identity[order] == identity[query]).nonzero().flatten() + 1
            rank1.append(float(hits[0] == 1))
            precision.append((torch.arange(1, len(hits) + 1) / hits).mean().item())
            assert trials[f"{trial}/rank"][row] == hits[0]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["rank1"] == pytest.approx(sum(rank1) / len(rank1))
    assert summary["mAP"] == pytest.approx(sum(precision) / len(precision))
    assert len(json.loads((folder / "images.json").read_text())["images"]) == len(features)


def test_events_tell_the_whole_story(hands: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train_in(run, small_config("ce_triplet_center", hands))
    (started,) = events_of(run, "started")
    assert started["train_images"] == 50
    assert started["steps"] == len(events_of(run, "step")) == 6
    stages = [event["stage"] for event in events_of(run, "evaluation")]
    assert stages == ["pixels", "before", "validation", "validation", "final"]
    assert all(0 <= event["rank1"] <= 1 for event in events_of(run, "evaluation"))
    geometry = events_of(run, "epoch")[-1]["geometry"]
    assert set(geometry) == {"intra", "inter", "ratio", "hard_gap", "angle"}
    (ended,) = events_of(run, "ended")
    assert ended["status"] == "finished"
    assert {"before", "pixels", "geometry", "best_epoch", "seconds"} <= ended["summary"].keys()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_no_step_waits_for_the_gpu(hands: Path) -> None:
    setup = prepare(small_config("ce_triplet_center", hands, device="cuda", augment__erase=0.5, augment__flip=0.5))
    setup.model.train()

    def step(number: int) -> None:
        images, target = setup.batch(number)
        with setup.device.precision():
            encoded = setup.model.encoder(images)
        setup.objective(setup.model.through_necks(encoded), target).total.backward()
        setup.objective.unscale_own()
        setup.optimizers.step(clip_norm=5.0)

    step(0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
