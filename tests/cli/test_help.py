"""What `--help` shows of every command, and what a wrong option or value answers."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from typer.models import OptionInfo
from typer.testing import CliRunner

from engine.contract.choices import ASPECTS, Subset
from engine.contract.config import resolve
from handreid_tui.cli import options
from handreid_tui.cli.app import GROUPS, command_line, function_of
from handreid_tui.compare.formats import FORMATS
from handreid_tui.compare.plots import PLOTS
from handreid_tui.compare.table import By

COMMANDS = {name: function_of(place) for group in GROUPS.values() for name, place in group.items()}
WITHOUT_A_DEFAULT = {"filter", "sbatch", "set", "tag"}  # nothing is taken unless it is given


def help_of(name: str) -> str:
    """The help of a command as plain text, without its frames and its line breaks."""
    shown = CliRunner().invoke(command_line(), [*name.split(), "--help"], env={"COLUMNS": "300"})
    assert shown.exit_code == 0
    return " ".join(re.sub(r"[│╭╮╰╯─]|\x1b\[[0-9;]*m", " ", shown.output).split())


def section_of(text: str, option: str) -> str:
    """What the help says after each mention of this option, to the next one."""
    return " ".join(re.split(r" --?[a-z-]+ ", after)[0] for after in text.split(f" {option} ")[1:])


def choices_of(kind: Any) -> Iterator[str]:
    """The values of every Literal in a type."""
    for inner in get_args(kind):
        if get_origin(kind) is Literal:
            yield inner
        else:
            yield from choices_of(inner)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_shows_the_choices_and_defaults_of_its_options(name: str) -> None:
    text = help_of(name)
    hints = get_type_hints(COMMANDS[name], include_extras=True)
    del hints["return"]
    for parameter, hint in hints.items():
        kind, about = get_args(hint)
        choices = "|".join(choices_of(kind))
        assert choices in text, f"{parameter} does not show {choices}"
        assert about.help
        if isinstance(about, OptionInfo) and kind is not bool and parameter not in WITHOUT_A_DEFAULT:
            names = [name for name in (about.default, *(about.param_decls or ())) if str(name).startswith("--")]
            found = section_of(text, names[0] if names else "--" + parameter.replace("_", "-"))
            assert "[default: " in found or "[required]" in found, f"{parameter}: {found}"


def test_the_defaults_that_the_help_shows_are_those_that_are_taken() -> None:
    text = help_of("run")
    own, synthetic = resolve("ce", **{"data.source": "/data"}), resolve("ce")
    assert f"[default: ({own.model.name}; on synthetic data {synthetic.model.name})]" in text
    assert f"[default: ({own.model.pretrained}; handreid-tiny: {synthetic.model.pretrained})]" in text
    assert f"[default: ({own.train.epochs}; handreid-tiny: {synthetic.train.epochs})]" in text
    assert f"[default: ({own.train.lr}; handreid-tiny: {synthetic.train.lr})]" in text
    assert f"[default: ({own.data.gallery}; on synthetic data {synthetic.data.gallery})]" in text
    assert f"[default: ({own.data.format})]" in section_of(text, "--format")
    assert f"[default: ({own.data.subset}: " in section_of(text, "--subset")
    assert f"[default: ({own.device})]" in section_of(text, "--device")


def test_the_options_of_run_are_in_groups() -> None:
    shown = CliRunner().invoke(command_line(), ["run", "--help"], env={"COLUMNS": "120"}).output
    groups = re.findall(r"╭─ (\w+) ─", shown)
    assert set(groups) == {"Options", "Data", "Model", "Training", "Queue", "Output", "Locations"}


def test_the_choices_of_the_command_line_are_those_of_the_program() -> None:
    assert get_args(options.TableFormat) == FORMATS
    assert get_args(options.PlotKind) == tuple(PLOTS)
    assert get_args(options.RowOf) == get_args(By)
    assert get_args(Subset) == ("auto", *ASPECTS, "all")


def test_the_version_is_that_of_the_package() -> None:
    shown = CliRunner().invoke(command_line(), ["--version"])
    assert shown.output.split() == ["handreid", version("handreid")]


@pytest.mark.parametrize(
    ("words", "mistake"),
    [
        ("run --combo ce --format zip", "'zip' is not one of 'auto', 'names', '11k', 'hd', 'prepared', 'folder'"),
        ("run --combo ce --gallery none", "'none' is not one of 'all', 'own'"),
        ("resume 1 --on mars", "'mars' is not one of 'here', 'slurm'"),
        ("compare --by seed", "'seed' is not one of 'combo', 'run'"),
        ("plot pie", "'pie' is not one of 'loss'"),
        ("run", "Missing option '--combo'"),
        ("run --combo ce --subset all,thumb", "'thumb' is not one of"),
        ("serve --port 0", "--port"),
        ("compair", "No such command 'compair'"),
        ("--nope", "No such option: --nope"),
    ],
)
def test_a_wrong_option_or_value_is_one_sentence_and_status_2(words: str, mistake: str) -> None:
    command = [sys.executable, "-m", "handreid_tui", *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert mistake in done.stderr
    assert done.stderr.startswith("Error: ")
    assert "--help`." in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_shell_completes_choices() -> None:
    command = [sys.executable, "-m", "handreid_tui"]
    asked = {"_HANDREID_COMPLETE": "complete_bash", "COMP_WORDS": "handreid compare --format ", "COMP_CWORD": "3"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin"} | asked)
    assert done.stdout.split() == list(FORMATS)


def test_tune_takes_the_options_of_run_as_run_declares_them() -> None:
    run, tune = (get_type_hints(COMMANDS[name], include_extras=True) for name in ("run", "tune"))
    own = {"combo", "return"}
    assert {name: hint for name, hint in tune.items() if name in run.keys() - own} == {
        name: hint for name, hint in run.items() if name in tune.keys() - own
    }
    assert {"data", "format", "subset", "gallery", "model", "epochs", "device", "set", "detach"} <= run.keys() & tune
