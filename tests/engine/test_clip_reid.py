"""CLIP-ReID and CLIP-HandID as runs: what each stage changes, what it leaves, and that it can be interrupted."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from engine.__main__ import explain
from engine.contract import run_files
from engine.contract.config import RunConfig
from engine.contract.errors import LossNotFinite, UserError
from engine.contract.events import EventWriter
from engine.data import synthetic
from engine.evaluation.export import export
from engine.machine.parallel import Workers
from engine.model.reid_model import build_model
from engine.training import prompt_learning
from engine.training.checkpoint import load_newest
from engine.training.checkpoint_writer import CheckpointWriter
from engine.training.progress import TrainingProgress
from engine.training.setup import TrainingSetup, prepare
from engine.training.stopping import StopRequest
from handreid_tui.history import curve, ingest, list_runs, open_history
from handreid_tui.launch.plan import plan
from handreid_tui.sweeps.space import read_over, space_of
from handreid_tui.text.run_text import epochs, share_done
from tests.support.training import StopAtStep, events_of, small_config, train_in

WEIGHTS = "checkpoints/best/model.safetensors"
TEXTS = "objective.learnt.i2t.0.texts"
FLOAT32 = {"train__precision": "float32"}


def hashes(module: torch.nn.Module) -> dict[str, int]:
    return {name: hash(value.numpy().tobytes()) for name, value in module.state_dict().items()}


def learn(setup: TrainingSetup, place: Path, stop: StopRequest | None = None) -> bool:
    """The first stage alone."""
    writer = CheckpointWriter(place / "checkpoints", EventWriter(place / "events.jsonl"))
    try:
        return prompt_learning.learn_prompts(setup, TrainingProgress(), None, Workers(), writer, stop or StopRequest())
    finally:
        writer.wait()


def same(one: Path, other: Path) -> bool:
    first, second = load_file(one / WEIGHTS), load_file(other / WEIGHTS)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_the_first_stage_moves_the_words_and_nothing_else(hands: Path, tmp_path: Path) -> None:
    """Cosines of a random start are near chance, 2 ln 50, so 40 steps at ten times the rate must lead well below it.

    Dot products begin far above chance, and lose more than that without any text told from another.
    """
    setup = prepare(small_config("clip_reid", hands, prompts__epochs=40, prompts__lr=3.5e-3, **FLOAT32))
    assert setup.prompts and setup.prompt_encoder
    encoder = setup.prompt_encoder
    frozen = hashes(setup.model), hashes(encoder)
    words = setup.prompts.context.detach().clone()
    assert learn(setup, tmp_path)
    assert (hashes(setup.model), hashes(encoder)) == frozen
    assert ((setup.prompts.context - words).abs().amax(dim=(1, 2)) > 1e-4).all()
    learnt = setup.objective.learnt_texts()
    assert learnt and setup.prompt_encoder is None
    torch.testing.assert_close(learnt.texts, setup.prompts.all_texts(encoder))
    losses = [event["total"] for event in events_of(tmp_path, "prompt")]
    chance = 2 * math.log(len(setup.target))
    assert len(losses) == 40 and losses[-1] < 0.9 * losses[0] and losses[-1] < 0.93 * chance


def test_images_are_seen_with_the_mean_of_their_weights(hands: Path) -> None:
    setup = prepare(small_config("clip_reid", hands, **FLOAT32))
    images = setup.images[setup.train].permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (setup.model.mean, setup.model.std))
    with torch.inference_mode():
        expected = setup.model.encoder.eval()((images - mean) / std)[-1]
    found = prompt_learning.image_features(setup)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    assert not found.requires_grad


def test_the_second_stage_moves_the_encoder_and_keeps_the_texts(hands: Path, tmp_path: Path) -> None:
    config = small_config("clip_reid", hands, prompts__aspect=True)
    setup = prepare(config)
    learn(setup, tmp_path)
    train_in(tmp_path / "run", config)
    after = load_file(tmp_path / "run" / WEIGHTS)
    assert torch.equal(after[TEXTS], setup.weights()[TEXTS]) and after[TEXTS].abs().sum() > 0
    assert torch.equal(after["prompts.context"], setup.weights()["prompts.context"])
    before = build_model(config.model, config.seed).encoder.open_clip_state()
    assert not [name for name, value in before.items() if torch.equal(value, after[name])]
    assert not [name for name in after if "token" in name or name.startswith(("transformer", "text"))]
    said = export(tmp_path / "run", tmp_path / "exported")
    assert said == "The texts learned by clip_reid are left out: only training uses them."
    exported = load_file(tmp_path / "exported" / "open_clip_model.safetensors")
    assert all(torch.equal(exported[name], value) for name, value in after.items() if name.startswith("visual."))
    assert sum(value.numel() for name, value in exported.items() if not name.startswith("visual.")) < 100_000


# Interruptions. The first stage has 2 steps here, the second 6: a step looks once whether to stop.


@pytest.fixture(scope="module")
def whole(hands: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupts."""
    run = tmp_path_factory.mktemp("clip_reid") / "whole"
    assert train_in(run, small_config("clip_reid", hands)) == "finished"
    return run


@pytest.mark.parametrize("look", [1, 2, 4])
def test_a_run_that_is_stopped_in_either_stage_resumes_bit_for_bit(
    hands: Path, tmp_path: Path, whole: Path, look: int
) -> None:
    """The defect: a second stage that begins with fresh texts or classifiers, and an accuracy of 0."""
    config, broken = small_config("clip_reid", hands), tmp_path / "broken"
    assert train_in(broken, config, StopAtStep(look)) == "stopped"
    assert train_in(broken, config) == "finished"
    assert same(whole, broken)
    for kind in ("prompt", "step"):
        losses = [{event["step"]: event["total"] for event in events_of(run, kind)} for run in (whole, broken)]
        assert losses[0] == losses[1]
    assert events_of(broken, "started")[-1]["prompts_from"] == min(look, 2)


def test_the_second_stage_is_resumed_without_a_text_tower(
    hands: Path, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config("clip_reid", hands)
    assert train_in(tmp_path / "run", config, StopAtStep(6)) == "stopped"
    monkeypatch.setattr("engine.model.prompts.open_text_tower", lambda *_: pytest.fail("the text tower was opened"))
    assert train_in(tmp_path / "run", config) == "finished"
    assert same(whole, tmp_path / "run")


def test_clip_handid_resumes_bit_for_bit(hands: Path, tmp_path: Path) -> None:
    config = small_config("clip_handid", hands)
    assert train_in(tmp_path / "whole", config) == "finished"
    assert train_in(tmp_path / "broken", config, StopAtStep(3)) == "stopped"
    assert train_in(tmp_path / "broken", config) == "finished"
    assert same(tmp_path / "whole", tmp_path / "broken")
    names = load_file(tmp_path / "whole" / WEIGHTS).keys()
    assert not [name for name in names if "token" in name or name.startswith(("transformer", "text"))]


def kill_when(run: Path, kind: str, step: int) -> None:
    """Train in a process of its own, and kill it with SIGKILL after a checkpoint, at an event from this step on."""
    process = subprocess.Popen([sys.executable, "-m", "engine", "train", str(run)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        seen = any(event["step"] >= step for event in events_of(run, kind))
        if seen and (run / run_files.LAST_CHECKPOINT).exists():
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.005)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.long
def test_a_run_that_is_killed_in_both_stages_has_the_weights_of_the_whole_one(hands: Path, tmp_path: Path) -> None:
    settings = {"prompts__epochs": 200, "train__epochs": 30, "train__checkpoint_every": 0.01, "evaluation__every": 30}
    config = small_config("clip_reid", hands, **settings)
    assert train_in(tmp_path / "whole", config) == "finished"
    broken = tmp_path / "broken"
    broken.mkdir()
    config.save(broken / run_files.CONFIG)
    kill_when(broken, "prompt", 20)
    checkpoint = load_newest(broken / run_files.CHECKPOINTS)
    assert checkpoint and 0 < checkpoint.state["prompt_step"] < 200 and not checkpoint.state["prompts_learnt"]
    kill_when(broken, "step", 10)
    checkpoint = load_newest(broken / run_files.CHECKPOINTS)
    assert checkpoint and checkpoint.state["prompts_learnt"] and checkpoint.state["step"] < 90
    assert train_in(broken, config) == "finished"
    assert same(tmp_path / "whole", broken)


# What else went wrong for its users


@pytest.mark.parametrize("combo", ["clip_reid", "clip_handid"])
def test_two_identities_are_enough(combo: str, tmp_path: Path) -> None:
    """The defect: with fewer identities than the batch asks for no batch is drawn, and nothing is trained."""
    hands = tmp_path / "two"
    synthetic.write(hands, train_identities=2, test_identities=2, images=4, seed=0, size=64)
    settings = {"data.source": str(hands), "train.epochs": 2, "prompts.epochs": 2, "model.name": "handreid-tiny"}
    if combo == "clip_handid":
        settings.pop("prompts.epochs")
    (config,) = plan([combo], [0], settings | {"device": "cpu", "threads": 1}, tmp_path / "runs").configs
    assert config.train.ids_per_batch == 2
    train_in(tmp_path / "run", config)
    steps = events_of(tmp_path / "run", "step")
    assert steps and all(event["total"] > 0 for event in steps)
    before = build_model(config.model, config.seed).encoder.open_clip_state()
    after = load_file(tmp_path / "run" / WEIGHTS)
    assert not [name for name, value in before.items() if torch.equal(value, after[name])]


def test_a_last_batch_that_would_be_empty_is_not_drawn(hands: Path, tmp_path: Path) -> None:
    setup = prepare(small_config("clip_reid", hands, prompts__batch=25, prompts__epochs=1))  # of 50 images
    assert learn(setup, tmp_path)
    assert [event["step"] for event in events_of(tmp_path, "prompt")] == [0, 1]


def test_a_loss_of_the_first_stage_that_is_no_number_is_named(
    hands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(setup: TrainingSetup) -> Tensor:
        return torch.full((len(setup.train), setup.model.dims[-1]), torch.nan)

    monkeypatch.setattr(prompt_learning, "image_features", spoilt)
    with pytest.raises(LossNotFinite, match="'i2t of the first stage' is NaN or infinite at step 0") as caught:
        train_in(tmp_path / "run", small_config("clip_reid", hands))
    later = explain(LossNotFinite(3, caught.value.term, caught.value.rate), small_config("clip_reid", hands))
    assert later.setting == "prompts.lr"


# Configurations, history


def test_settings_of_the_first_stage_concern_its_combinations_alone(hands: Path, tmp_path: Path) -> None:
    assert small_config("clip_reid", hands, prompts__epochs=7).prompts.epochs == 7
    assert small_config("ce+i2t", hands, prompts__epochs=7).prompts.epochs == 7
    assert small_config("ce", hands, prompts__epochs=7).prompts == RunConfig(combo="ce", loss={}).prompts
    with pytest.raises(UserError, match=r"no chosen combination \(ce\) learns prompts"):
        plan(["ce"], [0], {"prompts.epochs": 3}, tmp_path / "runs")
    over = read_over(["prompts.lr=1e-4..1e-3:log"])
    assert space_of(small_config("clip_reid", hands), over) == over
    with pytest.raises(UserError, match="ce has none of the settings of --over"):
        space_of(small_config("ce", hands), over)
    old = json.loads(small_config("ce", hands).to_json())
    del old["prompts"]
    assert RunConfig.model_validate(old) == small_config("ce", hands)


def test_the_first_stage_streams_to_the_history(hands: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "0001-clip_reid"
    history = open_history(tmp_path / "runs.db")
    config = small_config("clip_reid", hands, prompts__epochs=9)
    assert train_in(run, config, StopAtStep(5)) == "stopped"
    ingest(history, tmp_path / "runs")
    (row,) = list_runs(history)
    assert (row.prompt_epochs, row.prompt_steps, row.prompt_step, bool(row.in_prompts)) == (9, 9, 5, True)
    assert epochs(row) == "prompts 5/9" and share_done(row) == pytest.approx(5 / 9)
    lost = {"v": 1, "t": 1.0, "kind": "prompt", "step": 7, "total": 99.0}  # after the checkpoint
    with (run / run_files.EVENTS).open("a") as file:
        file.write(json.dumps(lost) + "\n")
    ingest(history, tmp_path / "runs")
    assert train_in(run, config) == "finished"
    ingest(history, tmp_path / "runs")
    (row,) = list_runs(history)
    assert (row.prompt_step, bool(row.in_prompts), epochs(row)) == (9, False, "2/2")
    steps, values = curve(history, 1, "prompts/total")
    assert steps.tolist() == list(range(9)) and values.max() < 99
    written = {event["step"]: event["total"] for event in events_of(run, "prompt") if event["total"] != 99}
    assert values.tolist() == [written[step] for step in range(9)]
    assert len(curve(history, 1, "prompts/i2t")[0]) == 9 and len(curve(history, 1, "total")[0]) == 6
    assert train_in(tmp_path / "runs" / "0002-clip_reid", config, StopAtStep(12)) == "stopped"  # in the second stage
    assert train_in(tmp_path / "runs" / "0002-clip_reid", config) == "finished"
    ingest(history, tmp_path / "runs")
    assert len(curve(history, 2, "prompts/total")[0]) == 9
