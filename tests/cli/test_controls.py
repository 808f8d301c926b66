"""An error names the control of the front end that shows it, and the engine none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import engine
from engine.contract.config import resolve, setting_keys
from engine.contract.errors import UserError
from handreid_tui.cli.controls import OPTIONS, sentence


def test_a_mistake_ends_with_its_option() -> None:
    with pytest.raises(UserError) as caught:
        resolve("ce", **{"train.lr": 0})
    assert sentence(caught.value).endswith("(--lr).")
    with pytest.raises(UserError) as caught:
        resolve("ce", **{"train.warmup_epochs": -1})
    assert sentence(caught.value).endswith("(--set train.warmup_epochs=…).")
    assert sentence(UserError("No such run: 12.")) == "No such run: 12."


def test_every_option_is_of_a_setting() -> None:
    assert OPTIONS.keys() - setting_keys().keys() == {"gpus", "parallel"}


@pytest.mark.parametrize("file", sorted(Path(engine.__file__).parent.rglob("*.py")), ids=lambda file: file.stem)
def test_the_engine_names_no_option_of_the_command_line(file: Path) -> None:
    options = {*OPTIONS.values(), "--set", "--combo", "--seed"}
    assert not options & set(re.findall(r"--[a-z][a-z-]*", file.read_text()))
