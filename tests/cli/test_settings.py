"""Which folders and files a command works on, and what it says where they cannot be used."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from handreid_tui.history import rebuild
from tests.cli.test_run import handreid
from tests.support.run_files import finish, make_run

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1


def test_options_before_the_command_are_heeded_and_those_behind_it_win(tmp_path: Path) -> None:
    for folder, combo in (("runs", "ce"), ("one", "ce_triplet"), ("two", "ce_arcface")):
        finish(make_run(tmp_path / folder, combo))
    handreid("--runs", "one", "--db", "one.db", "rm", "1", "-y", cwd=tmp_path)
    assert [len(list((tmp_path / folder).glob("0*"))) for folder in ("runs", "one")] == [1, 0]
    assert (tmp_path / "one.db").exists()
    assert not (tmp_path / "runs.db").exists()
    shown = handreid("--runs", "one", "runs", "--runs", "two", "--db", "two.db", "--json", cwd=tmp_path).stdout
    assert [run["combo"] for run in json.loads(shown)] == ["ce_arcface"]


def without_roots_power() -> None:
    """Root may write anywhere: a child that has lost CAP_DAC_OVERRIDE may not."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE)


def refused(*words: object, cwd: Path) -> str:
    """What a command that must not work says, without more rights than its user's."""
    command = [sys.executable, "-m", "handreid_tui", *map(str, words)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, preexec_fn=without_roots_power)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done.stderr
    assert done.stderr.startswith("Error: ")
    return done.stderr


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A folder with a run in it that may be read, and not written."""
    folder = tmp_path / "shared"
    finish(make_run(folder / "runs"))
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)


@pytest.mark.parametrize("words", [["runs"], ["show", "1"], ["compare"], ["report"], ["plot", "loss"], ["rebuild"]])
@pytest.mark.parametrize("has_history", [False, True])
def test_runs_that_may_only_be_read_are_looked_at_with_a_history_elsewhere(
    words: list[str], has_history: bool, shared: Path
) -> None:
    if has_history:
        rebuild(shared / "runs.db", shared / "runs")
        (shared / "runs.db").chmod(0o444)
    assert "such as --db ~/runs.db" in refused(*words, cwd=shared)
    shown = handreid("runs", "--db", "../own.db", "--json", cwd=shared).stdout
    assert [run["status"] for run in json.loads(shown)] == ["finished"]


def test_a_history_in_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    finish(make_run(tmp_path / "runs"))
    for words in (["runs"], ["show", "1"], ["compare"], ["tag", "1", "x"], ["rm", "1", "-y"], ["rebuild"]):
        assert "No such folder" in refused(*words, "--db", tmp_path / "nope" / "x.db", cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_the_data_of_handreid_toml_are_taken_unless_others_are_named(tmp_path: Path) -> None:
    (tmp_path / "handreid.toml").write_text('[run]\ndata.source = "/nowhere/hands"\n')
    assert "/nowhere/hands" in refused("run", "--combo", "ce", cwd=tmp_path)
    assert "/nowhere/others" in refused("run", "--combo", "ce", "--data", "/nowhere/others", cwd=tmp_path)


def test_an_encoder_is_written_into_a_folder_that_can_be(shared: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert "is a file" in refused("export", "1", "-o", tmp_path / "file", cwd=shared)
    assert "is a file" in refused("export", "1", "-o", tmp_path / "file" / "encoder", cwd=shared)
    for folder in ("encoder", "not/there"):
        assert "cannot be written: name another folder with -o" in refused("export", "1", "-o", folder, cwd=shared)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_handreid_toml_that_cannot_be_read_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "handreid.toml").mkdir()
    done = handreid("runs", cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (2, "Error: handreid.toml cannot be read: is a directory.\n")
