"""The history is an index: from the directories alone it comes back with the same content."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.contract.errors import UserError
from handreid_tui.history import (
    add_tag,
    archive,
    ingest,
    list_runs,
    open_history,
    rebuild,
    remove_tag,
    set_name,
    set_note,
    set_tags,
)
from tests.history.test_ingest import dump
from tests.support.run_files import Trainer, append, finish, make_run


@pytest.fixture
def lived(tmp_path: Path):
    """Database, directories and content of a history that grew poll by poll, through kills, resumes and edits."""
    db, runs = tmp_path / "runs.db", tmp_path / "runs"
    history = open_history(db)
    first, second, third, fourth = (make_run(runs, combo) for combo in ("ce", "ce_triplet", "ce_arcface", "zero_shot"))
    alpha, beta = Trainer(first).start(), Trainer(second).start()
    for step in range(0, 20, 4):
        alpha.steps(step, step + 4)
        beta.steps(step, step + 2).evaluate("validation", step, 0.5, step / 40)
        append(first, b"{damaged\n")
        ingest(history, runs)
    Trainer(second).start(resumed_from=8).steps(8, 12).end("stopped")
    append(first, b'{"kind":"ended","sta')
    finish(third)
    ingest(history, runs)
    set_name(history, 3, "the good one")
    set_tags(history, 3, ["x", "y"])
    add_tag(history, 3, "z")
    remove_tag(history, 3, "x")
    set_note(history, 1, "two\nlines")
    archive(history, 4)
    Trainer(fourth).start().end("failed", {"kind": "error", "message": "It broke.", "traceback": "…"})
    ingest(history, runs)
    content = dump(history), list_runs(history, archived=True)
    history.dispose()
    return db, runs, content


def assert_same(db: Path, content: object) -> None:
    history = open_history(db)
    assert (dump(history), list_runs(history, archived=True)) == content
    history.dispose()


def test_a_deleted_history_comes_back_the_same(lived) -> None:
    db, runs, content = lived
    for file in db.parent.glob("runs.db*"):
        file.unlink()
    report = rebuild(db, runs)
    assert (report.runs, report.damaged) == (4, 5)
    assert_same(db, content)


def test_a_history_in_use_is_rebuilt_in_place(lived) -> None:
    db, runs, content = lived
    reader = open_history(db)
    rebuild(db, runs)
    assert list_runs(reader, archived=True) == content[1]
    reader.dispose()
    assert_same(db, content)


def test_a_damaged_history_is_replaced(lived) -> None:
    db, runs, content = lived
    damaged = bytearray(db.read_bytes())
    damaged[100:] = b"\xff" * (len(damaged) - 100)
    db.write_bytes(damaged)
    with pytest.raises(UserError, match=r"is damaged\. Run `handreid rebuild`"):
        open_history(db)
    rebuild(db, runs)
    assert_same(db, content)


def test_a_file_that_is_no_history_is_left_alone(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis.tex"
    thesis.write_text("\\documentclass{article}" * 100)
    with pytest.raises(UserError, match="is not a database"):
        rebuild(thesis, tmp_path / "runs")
    assert thesis.read_text().startswith("\\documentclass")


def test_an_edit_lasts_in_the_directory_and_in_the_history(lived) -> None:
    db, _, _ = lived
    history = open_history(db)
    rows = {row.number: row for row in list_runs(history, archived=True)}
    assert (rows[3].name, rows[3].tags, rows[1].note, rows[4].archived) == (
        "the good one",
        ("y", "z"),
        "two\nlines",
        True,
    )
    set_name(history, 3, "")
    archive(history, 4, False)
    rows = {row.number: row for row in list_runs(history)}
    assert (rows[3].name, rows[4].archived) == ("0003-ce_arcface", False)
    with pytest.raises(UserError, match="There is no run 77"):
        set_note(history, 77, "x")
    history.dispose()
