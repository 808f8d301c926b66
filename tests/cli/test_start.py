"""`--pretrained synthetic` from the front door, and where it is offered."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from engine.contract.start import OFFER
from handreid_tui.ui.screens.launch.request import LaunchRequest, headline
from tests.cli.test_run import SMALL, _command

RECIPE = {"identities": 8, "images": 3, "drawn": 48, "sizes": [32, 64], "steps": [6, 2], "ids_per_batch": 4}
FEW = [word for word in SMALL if word not in ("--model", "handreid-tiny")]


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    own = {"HANDREID_START": json.dumps(RECIPE), "HANDREID_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    return os.environ | own | {"HF_HOME": str(tmp_path / "hub")}


@pytest.mark.long
def test_a_run_trains_the_start_and_the_next_one_finds_it(
    hands: Path, tmp_path: Path, surroundings: dict[str, str]
) -> None:
    runs = []
    for _ in range(2):
        words = _command("run", "--combo", "ce", "--data", hands, "--pretrained", "synthetic", *FEW, "--json")
        done = subprocess.run(words, cwd=tmp_path, env=surroundings, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        runs.append((json.loads(done.stdout), done.stderr))
    (first, first_said), (second, second_said) = runs
    assert "The weights 'synthetic' are trained first, once" in first_said
    assert "Training the initial weights on synthetic hands, once: " in first_said
    assert "trained first" not in second_said
    assert "Training the initial weights" not in second_said
    assert first["before"] == second["before"]

    record = json.loads((tmp_path / first["run_dir"] / "checkpoints" / "best" / "state.json").read_text())["model"]
    config = json.loads((tmp_path / first["run_dir"] / "config.json").read_text())["model"]
    assert config["pretrained"] == f"synthetic:{record['start']['key']}"
    assert record["start"]["recipe"]["steps"] == [6, 2]
    shown = subprocess.run(_command("show", "1"), cwd=tmp_path, env=surroundings, capture_output=True, text=True)
    assert config["pretrained"] in shown.stdout


@pytest.mark.long
def test_on_a_terminal_it_is_offered_where_weights_are_missing(
    hands: Path, tmp_path: Path, surroundings: dict[str, str]
) -> None:
    for answer, status in ((b"n\n", 2), (b"y\n", 0)):
        screen, terminal = pty.openpty()
        words = _command("run", "--combo", "ce", "--data", hands, *FEW)
        with subprocess.Popen(
            words, cwd=tmp_path, env=surroundings, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as running:
            os.write(screen, answer)
            out, said = running.communicate()
        os.close(screen)
        os.close(terminal)
        assert running.returncode == status, said.decode()
        assert OFFER in said.decode()
        assert "Start from synthetic hands instead" in said.decode()
    assert "handreid-small from synthetic:" in said.decode()
    assert "raw pixels" in out.decode()


def test_launch_names_it_where_no_weights_can_be_had(
    hands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)

    def said(**weights: str) -> str:
        settings = {"data.source": str(hands), "train.ids_per_batch": 5} | weights
        return headline(LaunchRequest(["ce"], [0], settings, {}, []), tmp_path)

    assert "enter synthetic as Weights" in said()
    assert "enter synthetic" not in said(**{"model.pretrained": "synthetic"})
    (tmp_path / "hub" / "models--timm--vit_base_patch16_clip_224.openai").mkdir(parents=True)
    assert "enter synthetic" not in said()
