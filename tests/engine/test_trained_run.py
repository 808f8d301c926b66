"""A trained run is scored on other data, exported for open_clip alone, and a start for another run."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from engine.contract.config import DataConfig, ModelConfig
from engine.contract.errors import UserError
from engine.data import synthetic
from engine.data.split import open_split
from engine.evaluation.export import export
from engine.evaluation.score import score
from engine.evaluation.trained_model import load_trained
from engine.model.pretrained import resize_positions
from engine.model.reid_model import build_model
from handreid_tui.cli import trained_run
from handreid_tui.settings import Places
from tests.support.training import small_config, train_in


@pytest.fixture(scope="module")
def run(hands: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("elsewhere") / "0001-ce"
    train_in(run, small_config("ce", hands, train__precision="float32"))
    return run


def test_open_clip_alone_gives_the_same_features(run: Path, hands: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "exported")
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'exported'}")
    picture = Image.open(next((hands / "Hands").iterdir()))
    image = preprocess(picture)[None]
    assert image.shape[2:] == (64, 64)
    _, ours = load_trained(run)
    with torch.inference_mode():
        torch.testing.assert_close(model.eval().encode_image(image), ours.eval()(image)[1].before, rtol=0, atol=1e-5)


def test_scoring_its_own_data_gives_the_runs_own_report(run: Path, hands: Path) -> None:
    scored = score(run, DataConfig(source=str(hands), trials=2, gallery="own"))
    assert scored.folder
    again = json.loads((scored.folder / "summary.json").read_text())
    own = json.loads((run / "evaluation" / "summary.json").read_text())
    for metric in ("rank1", "mAP", "mAP_trapezoid", "eer"):
        assert again[metric] == pytest.approx(own[metric], abs=1e-6)
    assert again["pixels"] == own["pixels"]


def test_a_run_is_scored_on_another_data_set_from_the_command_line(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    synthetic.write(other, train_identities=2, test_identities=4, images=4, seed=9, size=64)
    data = DataConfig(source=str(other), trials=3).model_dump_json()
    words = [sys.executable, "-m", "engine", "evaluate", str(run), data]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    folder = Path(json.loads(done.stdout)["folder"])
    assert folder.parent == run / "evaluations"
    assert {"features.safetensors", "trials.safetensors", "images.json", "summary.json"} == {
        path.name for path in folder.iterdir()
    }


def test_what_training_tolerated_evaluation_tolerates(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    synthetic.write(other, train_identities=2, test_identities=26, images=4, seed=9, size=64)
    data = DataConfig(source=str(other), trials=2, gallery="own")
    damaged = open_split(data).images[-1].name
    (other / "Hands" / damaged).write_bytes(b"not an image")
    words = [sys.executable, "-m", "engine", "evaluate", str(run), data.model_dump_json()]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert f"Note: {damaged} cannot be decoded" in done.stderr
    listed = json.loads((Path(json.loads(done.stdout)["folder"]) / "images.json").read_text())["images"]
    assert len(listed) == 26 * 4 - 1 and damaged not in {image["name"] for image in listed}
    for image in list((other / "Hands").iterdir())[:10]:
        image.write_bytes(b"not an image")
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "cannot be decoded" in done.stderr


def test_evaluations_on_folders_of_one_name_are_both_kept_and_a_repeated_one_once(run: Path, tmp_path: Path) -> None:
    folders = []
    for seed, parent in enumerate(("a", "b", "c d")):
        data = tmp_path / parent / "hands"
        synthetic.write(data, train_identities=2, test_identities=3 + seed, images=3, seed=seed, size=64)
        folders += [score(run, DataConfig(source=str(data), trials=2)).folder for _ in range(2)]
    assert None not in folders and len(set(folders)) == 3
    prints = [json.loads((folder / "summary.json").read_text())["fingerprint"] for folder in folders if folder]
    assert len(set(prints)) == 3
    assert not [path for path in (run / "evaluations").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("obstacle", ["a file", "a full disk", "a link to nowhere"])
def test_a_run_that_cannot_be_written_is_scored_all_the_same(
    run: Path, hands: Path, tmp_path: Path, obstacle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / run.name
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("evaluations"))
    if obstacle == "a file":
        (copy / "evaluations").write_text("in the way")
    elif obstacle == "a link to nowhere":
        (copy / "evaluations").symlink_to(tmp_path / "nowhere" / "at all")
    else:

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("engine.evaluation.score.write_evaluation", full)
    scored = score(copy, DataConfig(source=str(hands), trials=2))
    assert scored.folder is None and scored.problem and 0 <= scored.summary["rank1"] <= 1
    assert obstacle != "a full disk" or not list((copy / "evaluations").iterdir())


def test_that_a_result_cannot_be_saved_is_noted_before_the_work(
    run: Path, hands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "runs" / "0001-ce"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("evaluations"))
    (copy / "evaluations").write_text("in the way")
    work, noted = trained_run._engine, []

    def engine(*words: str) -> str:
        noted.append(capsys.readouterr().err)
        return work(*words)

    monkeypatch.setattr(trained_run, "_engine", engine)
    trained_run.evaluate(Places(tmp_path / "runs.db", copy.parent), "1", {"source": str(hands), "trials": 2}, True)
    printed = capsys.readouterr()
    assert noted == [f"Note: {copy / 'evaluations'} cannot be written: the result is printed, not saved.\n"]
    assert json.loads(printed.out)["folder"] is None and 0 <= json.loads(printed.out)["rank1"] <= 1
    assert "not saved" not in printed.err


def test_an_export_without_room_leaves_nothing(run: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "engine", "export", str(run), str(tmp_path / "out" / "encoder")]
    limited = ["bash", "-c", 'ulimit -f 64; exec "$@"', "bash", *words]
    done = subprocess.run(limited, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "") and "The disk is full" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("prefix", ["visual.", "", "image_encoder.", "module.visual."])
@pytest.mark.parametrize("format", ["safetensors", "pt", "wrapped"])
def test_weights_are_found_below_any_prefix(run: Path, tmp_path: Path, prefix: str, format: str) -> None:
    tower = {
        prefix + name.removeprefix("visual."): value
        for name, value in load_file(run / "checkpoints/best/model.safetensors").items()
        if name.startswith("visual.")
    }
    file = tmp_path / ("weights.safetensors" if format == "safetensors" else "weights.pt")
    if format == "safetensors":
        save_file(tower, file)
    else:
        torch.save({"state_dict": tower} if format == "wrapped" else tower, file)
    loaded = build_model(ModelConfig(name="handreid-tiny", pretrained=str(file)), 5).encoder.open_clip_state()
    _, trained = load_trained(run)
    assert all(torch.equal(loaded[name], value) for name, value in trained.encoder.open_clip_state().items())


def test_weights_of_another_model_are_refused_in_one_sentence(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Choose the model"):
        build_model(ModelConfig(name="RN50", pretrained=str(run), image_size=64), 0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="contains no weights"):
        build_model(ModelConfig(name="handreid-tiny", pretrained=str(tmp_path / "empty")), 0)


def test_another_image_size_resizes_the_position_embedding(run: Path) -> None:
    larger = build_model(ModelConfig(name="handreid-tiny", pretrained=str(run), image_size=96), 0)
    positions = larger.encoder.open_clip_state()["visual.positional_embedding"]
    assert positions.shape == (37, 192)
    own = load_file(run / "checkpoints/best/model.safetensors")["visual.positional_embedding"]
    torch.testing.assert_close(positions[0], own[0])
    assert resize_positions(own, 17, run).sub(own).abs().max() < 1e-5


def test_an_attention_pools_positions_are_resized_too(tmp_path: Path) -> None:
    small = build_model(ModelConfig(name="RN50", pretrained="none", image_size=64), 0)
    save_file(small.encoder.open_clip_state(), tmp_path / "rn50.safetensors")
    larger = build_model(ModelConfig(name="RN50", pretrained=str(tmp_path / "rn50.safetensors"), image_size=96), 1)
    state = larger.encoder.open_clip_state()
    assert state["visual.attnpool.positional_embedding"].shape == (10, 2048)
    assert torch.equal(state["visual.conv1.weight"], small.encoder.open_clip_state()["visual.conv1.weight"])
    assert larger.dims == [2048, 1024]
