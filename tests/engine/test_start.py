"""The start on synthetic hands: trained once, whole or not at all, under a name that says what it is."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
import torch

from engine.contract import start
from engine.contract.config import ModelConfig, RunConfig, resolve
from engine.contract.errors import UserError
from engine.contract.start import StartRecipe, start_folder, start_key, start_name, start_recipe
from engine.machine.device import open_device
from engine.model.reid_model import build_model
from engine.start.cached import DRAWING, TRAINING, WAITING, Stopped, ensure_start
from engine.training.checkpoint import load_checkpoint

TINY = StartRecipe(identities=8, images=3, drawn=48, sizes=(32, 64), steps=(8, 1), ids_per_batch=4)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(start.OVERRIDE, json.dumps(asdict(TINY)))
    monkeypatch.setenv("HANDREID_CACHE", str(tmp_path / "cache"))


def ensured(
    cache: Path,
    pretrained: str = "synthetic",
    tell: Callable[[str], None] = lambda text: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Path:
    return ensure_start(pretrained, cache, open_device(RunConfig(combo="ce", loss={}, device="cpu")), tell, stopped)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A start as it was trained, and what was told meanwhile."""
    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(start.OVERRIDE, json.dumps(asdict(TINY)))
        return ensured(tmp_path_factory.mktemp("made"), tell=told.append), told


def test_it_is_trained_once_and_a_model_opens_it_at_any_size(made: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, told = made
    assert folder.name == start_key(TINY)
    assert told[0].startswith(DRAWING) and any(text.startswith(TRAINING) for text in told)
    again: list[str] = []
    assert ensured(folder.parents[1], start_name(TINY), again.append) == folder
    assert again == []
    shutil.copytree(folder, start_folder(tmp_path / "cache", folder.name))

    config = resolve("ce", 0, **{"model.pretrained": "synthetic"}).model
    model = build_model(config.model_copy(update={"image_size": 64}), seed=0)
    kept = load_checkpoint(folder)
    assert kept
    for name, value in model.encoder.open_clip_state().items():
        assert torch.equal(value, kept.weights[name]), name
    assert model.record["start"] == {"key": start_key(TINY), "recipe": json.loads(json.dumps(asdict(TINY)))}
    assert (model.mean, model.std) == ([0.5] * 3, [0.25] * 3)
    assert build_model(config, seed=0).image_size == 128
    assert build_model(config, 0, model.record).record["start"] == model.record["start"]  # of a resumed run


@pytest.mark.long
def test_the_same_recipe_gives_the_same_weights(tmp_path: Path) -> None:
    one, other = (load_checkpoint(ensured(tmp_path / name)) for name in ("one", "other"))
    assert one and other
    assert all(torch.equal(value, other.weights[name]) for name, value in one.weights.items())


@pytest.mark.long
def test_a_kill_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    script = (
        "from tests.engine.test_start import ensured; from pathlib import Path; import sys\n"
        "ensured(Path(sys.argv[1]), tell=lambda text: print(text, flush=True))"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    root = Path(__file__).parents[2]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=root) as running:
        assert running.stdout
        while not running.stdout.readline().startswith(TRAINING):
            assert running.poll() is None
        running.send_signal(signal.SIGKILL)
    assert not start_folder(tmp_path, start_key(TINY)).exists()
    folder = ensured(tmp_path)
    assert load_checkpoint(folder)
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name, f"{folder.name}.lock"]


@pytest.mark.long
def test_a_damaged_one_is_trained_anew(tmp_path: Path) -> None:
    folder = ensured(tmp_path)
    (folder / "model.safetensors").write_bytes(b"torn")
    assert load_checkpoint(ensured(tmp_path))


def test_of_two_one_trains_and_the_other_waits(made: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder = start_folder(tmp_path, start_key(TINY))
    folder.parent.mkdir(parents=True)
    told: list[str] = []
    with folder.with_name(f"{folder.name}.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        def stopped() -> bool:  # asked while it waits: the other one is done then
            if told == [WAITING]:
                shutil.copytree(made[0], folder)
                fcntl.flock(other, fcntl.LOCK_UN)
            return False

        assert ensured(tmp_path, tell=told.append, stopped=stopped) == folder
    assert told == [WAITING]


@pytest.mark.parametrize("part", [DRAWING, TRAINING])
def test_a_stop_is_heard_while_it_is_made(part: str, tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(Stopped):
        ensured(tmp_path, tell=told.append, stopped=lambda: any(text.startswith(part) for text in told))
    folder = start_folder(tmp_path, start_key(TINY))
    assert [path.name for path in folder.parent.iterdir()] == [f"{folder.name}.lock"]


def test_the_key_differs_with_every_field_and_with_the_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    changed = [
        replace(TINY, **{field.name: tuple(value + 1 for value in old) if isinstance(old, tuple) else old + 1})
        for field in fields(TINY)
        for old in [getattr(TINY, field.name)]
    ]
    assert len({start_key(recipe) for recipe in [TINY, *changed]}) == len(changed) + 1

    before = start_key(TINY)
    for pattern in start.CODE:
        for file in start.ENGINE.glob(pattern):
            (tmp_path / file.relative_to(start.ENGINE)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, tmp_path / file.relative_to(start.ENGINE))
    monkeypatch.setattr(start, "ENGINE", tmp_path)
    start._code.cache_clear()
    assert start_key(TINY) == before
    with (tmp_path / "start" / "views.py").open("a") as views:
        views.write("TURN = 1.0\n")
    start._code.cache_clear()
    assert start_key(TINY) != before
    start._code.cache_clear()


def test_the_code_that_decides_is_part_of_the_key() -> None:
    files = {str(file.relative_to(start.ENGINE)) for pattern in start.CODE for file in start.ENGINE.glob(pattern)}
    assert files >= {
        "start/views.py",
        "start/scenes.py",
        "start/pretraining.py",
        "data/synthetic/skin.py",
        "losses/supcon.py",
    }


def test_a_start_of_another_version_is_used_from_the_cache_alone(made: tuple[Path, list[str]], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="this version trains"):
        ensured(tmp_path, "synthetic:0123456789ab")
    shutil.copytree(made[0], start_folder(tmp_path, "0123456789ab"))
    assert ensured(tmp_path, "synthetic:0123456789ab").name == "0123456789ab"


def test_an_unusable_cache_and_recipe_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "starts").write_text("a file")
    with pytest.raises(UserError, match="HANDREID_CACHE"):
        ensured(tmp_path)
    for text in ("{", '{"epochs": 3}', '{"steps": [1]}', "[1]"):
        monkeypatch.setenv(start.OVERRIDE, text)
        with pytest.raises(UserError, match=start.OVERRIDE):
            start_recipe()


def test_it_is_of_one_model_only() -> None:
    with pytest.raises(UserError, match="handreid-small"):
        build_model(ModelConfig(name="ViT-B-16", pretrained="synthetic"), seed=0)
    assert resolve("ce", 0, **{"model.pretrained": "synthetic", "data.source": "x"}).model.name == "handreid-small"
    assert resolve("ce", 0, **{"model.name": "handreid-small"}).model.pretrained == "synthetic"
