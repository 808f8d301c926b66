"""The trash: a deleted run comes back as it was, until it is purged or was there for 30 days."""

from __future__ import annotations

import os
import time

import pytest

from engine.contract import run_files
from engine.contract.errors import UserError
from handreid_tui.launch import trash
from handreid_tui.runs import directory
from tests.cli.test_run import handreid
from tests.support.run_files import finish, make_run, wait_in_queue


def test_the_command_line_deletes_restores_and_purges(tmp_path):
    runs = tmp_path / "runs"
    for seed in range(3):
        finish(make_run(runs, "ce", seed))
    said = handreid("rm", "1-2", "--yes", cwd=tmp_path).stderr
    assert "--undo" in said and [path.name for path in directory.list_runs(runs)] == ["0003-ce"]
    handreid("rm", "--undo", "1", cwd=tmp_path)
    assert [path.name for path in directory.list_runs(runs)] == ["0001-ce", "0003-ce"]
    assert "finished" in handreid("show", "1", cwd=tmp_path).stdout
    assert "0002-ce" in handreid("rm", "--purge", "--yes", cwd=tmp_path).stderr
    assert trash.trashed(runs) == []
    assert handreid("rm", "--undo", cwd=tmp_path, check=False).returncode == 2
    handreid("rm", "3", "--purge", "--yes", cwd=tmp_path)
    assert trash.trashed(runs) == [] and len(directory.list_runs(runs)) == 1
    assert handreid("rm", cwd=tmp_path, check=False).returncode == 2


def test_a_queued_run_leaves_the_queue_and_a_number_is_not_given_twice(tmp_path):
    path = make_run(tmp_path)
    wait_in_queue(path)
    (moved,) = trash.trash([path])
    assert not (moved / run_files.QUEUED).exists()
    assert directory.number(make_run(tmp_path)) == 2
    assert trash.restore([moved]) == [path]
    with pytest.raises(UserError, match="cannot be restored"):
        trash.restore([moved])


def test_the_trash_ends_after_its_retention(tmp_path):
    old, new = make_run(tmp_path), make_run(tmp_path)
    (moved,) = trash.trash([old])
    long_ago = time.time() - trash.RETENTION - 60
    os.utime(moved, (long_ago, long_ago))
    trash.trash([new])
    assert [path.name for path in trash.trashed(tmp_path)] == [new.name]
    assert trash.last_trashed(tmp_path) == trash.trashed(tmp_path)
