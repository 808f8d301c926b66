"""Opening a history: made, checked, migrated; and what a user reads where that cannot be."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from engine.contract.errors import UserError
from handreid_tui.history import ingest, list_runs, open_history, schema
from handreid_tui.history.models import Run
from handreid_tui.history.queries import RunRow
from tests.history.test_ingest import dump
from tests.support.run_files import finish, make_run


def test_a_history_waits_for_other_writers_and_keeps_its_promises_to_them(tmp_path: Path) -> None:
    history = open_history(tmp_path / "new folder" / "runs.db")
    with schema.reading(history) as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in (
                "journal_mode",
                "synchronous",
                "foreign_keys",
                "busy_timeout",
                "user_version",
                "application_id",
            )
        }
    history.dispose()
    assert settings == {
        "journal_mode": "wal",
        "synchronous": 1,
        "foreign_keys": 1,
        "busy_timeout": 30_000,
        "user_version": schema.VERSION,
        "application_id": schema.APPLICATION,
    }


def test_a_list_shows_every_column_of_a_run() -> None:
    assert set(RunRow.__slots__) == {*Run.model_fields, "tags", "metrics"}


def test_an_older_schema_is_brought_up_to_date_and_filled_again(tmp_path: Path) -> None:
    db, runs = tmp_path / "runs.db", tmp_path / "runs"
    finish(make_run(runs, tags=["kept"]))
    history = open_history(db)
    ingest(history, runs)
    content = dump(history)
    history.dispose()
    with sqlite3.connect(db) as old:  # as a version before this one might have left it
        old.execute("ALTER TABLE run DROP COLUMN mINP")
        old.execute("DROP TABLE message")
        old.execute("CREATE TABLE forgotten (x)")
        old.execute("PRAGMA user_version = 0")
    history = open_history(db)
    ingest(history, runs)
    assert dump(history) == content
    history.dispose()


def test_a_migration_that_fails_leaves_the_old_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db, runs = tmp_path / "runs.db", tmp_path / "runs"
    finish(make_run(runs))
    history = open_history(db)
    ingest(history, runs)
    history.dispose()
    with monkeypatch.context() as patch:
        patch.setattr(schema, "VERSION", schema.VERSION + 1)
        patch.setattr(schema, "METRIC_TABLES", (*schema.METRIC_TABLES, "CREATE TABLE run (broken)"))
        with pytest.raises(Exception, match="already exists"):
            open_history(db)
    history = open_history(db)
    assert list_runs(history)[0].metrics["rank1"] == 0.95
    history.dispose()


def test_a_newer_history_is_not_touched(tmp_path: Path) -> None:
    open_history(tmp_path / "runs.db").dispose()
    with sqlite3.connect(tmp_path / "runs.db") as newer:
        newer.execute("PRAGMA user_version = 99")
    with pytest.raises(UserError, match="was made by a newer handreid"):
        open_history(tmp_path / "runs.db")


def test_the_database_of_another_program_is_not_touched(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "photos.db") as other:
        other.execute("CREATE TABLE photo (x)")
    with pytest.raises(UserError, match="database of another program"):
        open_history(tmp_path / "photos.db")
    with sqlite3.connect(tmp_path / "photos.db") as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("photo",)]


def test_unusable_places_are_named_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "folder.db").mkdir()
    (tmp_path / "text").write_text("no database at all, but long enough to be read as a header of one" * 30)
    for place, sentence in {
        "folder.db": "cannot be opened",
        "text": "is not a database",
        "text/runs.db": "cannot be written: .*text is no folder",
    }.items():
        with pytest.raises(UserError, match=sentence):
            open_history(tmp_path / place)


def test_a_full_disk_is_named_and_nothing_is_half_written(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    finish(make_run(runs), steps=2000)
    history = open_history(tmp_path / "runs.db")
    with schema.writing(history) as connection:  # SQLite's own limit stands in for the disk's
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 5}")
    with pytest.raises(UserError, match="the disk is full"):
        ingest(history, runs)
    assert list_runs(history) == []
    history.dispose()
    history = open_history(tmp_path / "runs.db")
    ingest(history, runs)
    assert list_runs(history)[0].step == 2000
    history.dispose()


def test_a_network_file_system_is_warned_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert schema.network_file_system(Path("/proc/self")) is None
    monkeypatch.setattr(schema, "network_file_system", lambda path: "nfs4")
    with pytest.warns(UserWarning, match="network file system"):
        history = open_history(tmp_path / "runs.db")
    with schema.reading(history) as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"
    history.dispose()
