"""An error names the control of the front end that shows it, and the engine none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import engine
from engine.contract.config import resolve, setting_keys
from engine.contract.errors import UserError
from engine.contract.models import check_model_name
from handreid_tui.cli.controls import OPTIONS, sentence


def test_a_mistake_ends_with_its_option() -> None:
    with pytest.raises(UserError) as caught:
        resolve("ce", **{"train.lr": 0})
    assert sentence(caught.value).endswith("(--lr).")
    with pytest.raises(UserError) as caught:
        resolve("ce", **{"train.warmup_epochs": -1})
    assert sentence(caught.value).endswith("(--set train.warmup_epochs=…).")
    assert sentence(UserError("No such run: 12.")) == "No such run: 12."


def test_a_question_stays_behind_the_option() -> None:
    with pytest.raises(UserError) as caught:
        check_model_name("ViT-B-61")
    assert sentence(caught.value) == "open_clip has no model 'ViT-B-61' (--model). Did you mean 'ViT-B-16'?"
    assert sentence(UserError("No file. Its tags: a, b.", "model.name")) == "No file. Its tags: a, b (--model)."


def test_a_pattern_is_told_in_words() -> None:
    with pytest.raises(UserError) as caught:
        resolve("ce", device="tpu")
    assert sentence(caught.value) == "device 'tpu': should be auto, cpu, cuda or cuda:N (--device)."


def test_every_option_is_of_a_setting() -> None:
    assert OPTIONS.keys() - setting_keys().keys() == {"gpus", "parallel"}


@pytest.mark.parametrize("file", sorted(Path(engine.__file__).parent.rglob("*.py")), ids=lambda file: file.stem)
def test_the_engine_names_no_option_of_the_command_line(file: Path) -> None:
    options = {*OPTIONS.values(), "--set", "--combo", "--seed"}
    assert not options & set(re.findall(r"--[a-z][a-z-]*", file.read_text()))
