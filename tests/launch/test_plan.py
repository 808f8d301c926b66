"""What a plan refuses before anything is made, and what it does not refuse."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pytest

from engine.contract.errors import UserError
from handreid_tui.launch.plan import check_device, plan
from handreid_tui.launch.weights import check_weights, pretrained_tags
from tests.support.run_files import make_run


def test_the_tags_are_those_of_open_clip() -> None:
    for model in open_clip.list_models():
        assert pretrained_tags().get(model, []) == open_clip.list_pretrained_tags_by_model(model), model


def test_tags_files_and_runs_are_weights(hands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path / "runs", "ce")
    (run / "checkpoints" / "best").mkdir(parents=True)
    for file in (run / "checkpoints" / "best" / "model.safetensors", tmp_path / "my weights.pt"):
        file.write_bytes(b"weights")
    for model, weights in (
        ("ViT-B-16", "openai"),
        ("ViT-B-16", "none"),
        ("ViT-B-16-quickgelu", "openai"),
        ("handreid-tiny", "none"),
        ("RN50", "my weights.pt"),
        ("RN50", "1"),
        ("RN50", "last"),
        ("RN50", "ce"),
        ("RN50", "runs/0001-ce"),
        ("RN50", str(run)),
    ):
        settings = {"data.source": str(hands), "model.name": model, "model.pretrained": weights}
        settings |= {"model.image_size": 224, "train.ids_per_batch": 5}
        assert plan(["ce"], [0], settings, Path("runs")).configs[0].model.name == model


def test_an_unknown_open_clip_is_left_to_the_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handreid_tui.launch.weights.pretrained_tags", dict)
    check_weights("ViT-B-16", "a tag of tomorrow")


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDREID_FAKE_GPUS", "2")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for device in ("auto", "cpu", "cuda", "cuda:0", "cuda:1"):
        check_device(device)
    with pytest.raises(UserError, match="There is no cuda:2: this machine has only 2 GPUs"):
        check_device("cuda:2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    check_device("cuda:0")
    with pytest.raises(UserError, match="CUDA_VISIBLE_DEVICES=1 has only 1 GPU"):
        check_device("cuda:1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UserError, match="no NVIDIA GPU"):
        check_device("cuda")


@pytest.mark.parametrize(
    ("combos", "settings", "note"),
    [
        (["ce"], {}, "40 epochs are only 40 steps on 50 training images: consider 200 epochs."),
        (["zero_shot", "ce"], {}, "40 epochs are only 40 steps on 50 training images: consider 200 epochs."),
        (["ce"], {"train.epochs": 1}, "1 epoch is only 1 step on 50 training images: consider 200 epochs."),
        (["ce"], {"train.ids_per_batch": 5}, "40 epochs are only 80 steps on 50 training images: consider 100 epochs."),
        (["ce"], {"train.ids_per_batch": 5, "train.epochs": 75}, ""),
        (["ce"], {"train.epochs": 0}, ""),
        (["zero_shot"], {}, ""),
    ],
)
def test_a_few_steps_are_noted(hands: Path, combos: list[str], settings: dict[str, object], note: str) -> None:
    asked = {"data.source": str(hands), "model.name": "handreid-tiny"} | settings
    assert plan(combos, [0], asked, Path("runs")).few_steps == note


def test_of_several_trainings_the_one_with_the_fewest_steps_is_noted(hands: Path) -> None:
    asked = {"data.source": str(hands), "model.name": "handreid-tiny"}
    found = plan(["ce"], [0, 1], asked, Path("runs"), grid={"train.epochs": [200, 30, 100]})
    assert found.few_steps == "30 epochs are only 30 steps on 50 training images: consider 200 epochs."
