"""Which folders and files a command works on, and what it says where they cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

from tests.run_files import finish, make_run
from tests.test_cli_run import handreid


def test_options_before_the_command_are_heeded_and_those_behind_it_win(tmp_path: Path) -> None:
    for folder, combo in (("runs", "ce"), ("one", "ce_triplet"), ("two", "ce_arcface")):
        finish(make_run(tmp_path / folder, combo))
    handreid("--runs", "one", "--db", "one.db", "rm", "1", "-y", cwd=tmp_path)
    assert [len(list((tmp_path / folder).glob("0*"))) for folder in ("runs", "one")] == [1, 0]
    assert (tmp_path / "one.db").exists()
    assert not (tmp_path / "runs.db").exists()
    shown = handreid("--runs", "one", "runs", "--runs", "two", "--db", "two.db", "--json", cwd=tmp_path).stdout
    assert [run["combo"] for run in json.loads(shown)] == ["ce_arcface"]
