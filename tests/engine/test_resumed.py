"""A resumed run is the run that was begun: on the same data, from its own checkpoint, whatever became of its start."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import load_file

from engine.contract.config import ModelConfig, RunConfig
from engine.contract.errors import UserError
from engine.model.reid_model import build_model
from engine.model.towers import complete_record
from engine.training.checkpoint import load_newest, save_checkpoint
from tests.support.training import StopAtStep, events_of, small_config, train_in

WEIGHTS = "checkpoints/best/model.safetensors"


@pytest.fixture
def data(hands: Path, tmp_path: Path) -> Path:
    """A folder for each identity, so that a change of the folder is a change of the data set."""
    folder = tmp_path / "data"
    for image in (hands / "Hands").iterdir():
        number = int(image.stem.removeprefix("Hand_"))
        identity = folder / f"p{number // 6:02}"
        identity.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, identity / image.name)
    return folder


def stopped(run: Path, data: Path, **settings: object) -> RunConfig:
    settings = {"train__ids_per_batch": 3, "train__epochs": 3, "augment__pad": 2} | settings
    config = small_config("ce_triplet", data, **settings)
    assert train_in(run, config, StopAtStep(4)) == "stopped"
    return config


def rename_an_identity(data: Path) -> None:
    (data / "p03").rename(data / "q03")


def add_an_image(data: Path) -> None:
    for identity in sorted(data.iterdir()):
        shutil.copy(next(identity.iterdir()), identity / "one-more.jpg")


def remove_an_identity(data: Path) -> None:
    shutil.rmtree(data / "p05")


def give_an_image_to_another(data: Path) -> None:
    image = sorted((data / "p02").iterdir())[0]
    image.rename(data / "p04" / f"x{image.name}")


@pytest.mark.parametrize(
    "change", [rename_an_identity, add_an_image, remove_an_identity, give_an_image_to_another], ids=lambda f: f.__name__
)
def test_on_other_data_a_run_is_not_resumed(data: Path, tmp_path: Path, change: Callable[[Path], None]) -> None:
    config = stopped(tmp_path / "run", data)
    shutil.copytree(data, tmp_path / "as it was")
    change(data)
    with pytest.raises(UserError, match=r"has changed since run run began: .* then; .* now|but different ones"):
        train_in(tmp_path / "run", config)
    assert len(events_of(tmp_path / "run", "started")) == 1
    shutil.rmtree(data)
    (tmp_path / "as it was").rename(data)
    assert train_in(tmp_path / "run", config) == "finished"


def test_an_image_that_can_no_longer_be_decoded_is_another_data_set(data: Path, tmp_path: Path) -> None:
    config = stopped(tmp_path / "run", data)
    events = tmp_path / "run" / "events.jsonl"
    text = events.read_text()
    assert '"train_images":' in text
    count = events_of(tmp_path / "run", "started")[0]["train_images"]
    events.write_text(text.replace(f'"train_images":{count}', f'"train_images":{count + 1}'))
    with pytest.raises(UserError, match="that can be decoded has changed"):
        train_in(tmp_path / "run", config)


def test_without_a_checkpoint_a_run_begins_anew_on_the_data_that_is_there(data: Path, tmp_path: Path) -> None:
    config = stopped(tmp_path / "run", data)
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    rename_an_identity(data)
    assert train_in(tmp_path / "run", config) == "finished"


@pytest.mark.parametrize("start", ["a run", "a file", "a link"])
def test_a_checkpoint_needs_no_start_weights(data: Path, tmp_path: Path, start: str) -> None:
    first = tmp_path / "first"
    train_in(first, small_config("ce", data, train__ids_per_batch=3, train__epochs=1))
    source = first
    if start != "a run":
        source = tmp_path / "start.safetensors"
        shutil.copy(first / WEIGHTS, source) if start == "a file" else source.symlink_to(first / WEIGHTS)
    config = stopped(tmp_path / "broken", data, model__pretrained=str(source))
    train_in(tmp_path / "whole", config)
    shutil.rmtree(first)
    if start == "a file":
        source.write_bytes(b"other weights by now")
    assert train_in(tmp_path / "broken", config) == "finished"
    one, other = load_file(tmp_path / "whole" / WEIGHTS), load_file(tmp_path / "broken" / WEIGHTS)
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_with_a_checkpoint_the_hub_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.model.towers.hub_reachable", lambda: pytest.fail("the hub was asked"))
    created = open_clip.create_model

    def create(name: str, pretrained: str | None = None, **options: object) -> object:
        assert pretrained is None
        return created(name, **options)

    monkeypatch.setattr(open_clip, "create_model", create)
    config = ModelConfig(name="RN50", pretrained="openai", image_size=64)
    tag = complete_record(config, {"quick_gelu": True})
    assert (tag["quick_gelu"] and tag["mean"] is None) or len(tag["mean"]) == 3
    record = {"quick_gelu": True, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    model = build_model(config, 0, record)
    assert model.quick_gelu and model.record.items() >= (record | {"image_size": 64}).items()


@pytest.mark.parametrize("known", ["best", "start"])
def test_checkpoints_without_a_record_of_their_model_are_resumed(data: Path, tmp_path: Path, known: str) -> None:
    run = tmp_path / "run"
    config = stopped(run, data)
    newest = load_newest(run / "checkpoints")
    assert newest and newest.state.pop("model")["quick_gelu"] is False
    save_checkpoint(run / "checkpoints" / "last", newest, keep_previous=True)
    if known == "start":
        shutil.rmtree(run / "checkpoints" / "best", ignore_errors=True)
    assert train_in(run, config) == "finished"


def test_the_mean_of_the_images_belongs_to_the_checkpoint(data: Path, tmp_path: Path) -> None:
    """Other towers want other means; whoever scores or continues a run uses those that it was trained with."""
    run = tmp_path / "run"
    train_in(run, small_config("ce", data, train__ids_per_batch=3, train__epochs=1))
    state = run / "checkpoints" / "best" / "state.json"
    text = state.read_text()
    assert '"mean"' in text and '"std"' in text
    record = json.loads(text)
    record["model"]["mean"] = [0.5, 0.5, 0.5]
    state.write_text(json.dumps(record))
    model = build_model(ModelConfig(name="handreid-tiny", pretrained=str(run)), 0)
    assert model.mean == [0.5, 0.5, 0.5]
    assert torch.isfinite(model.necks[0].weight).all()
