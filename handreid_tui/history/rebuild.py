"""Making the history again from the run directories alone."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from handreid_tui.history.apply import forget
from handreid_tui.history.ingest import IngestReport, ingest
from handreid_tui.history.schema import APPLICATION, Damaged, explained, open_history, writing


def rebuild(db: Path, runs: Path) -> IngestReport:
    """Empty the history in `db`, replacing the file where it is damaged, and read every run directory of `runs` again.

    Raises UserError, leaving the file as it is, where it never was a run history or cannot be written.
    """
    try:
        history = open_history(db)
        _empty(history)
    except Damaged:
        if not _is_ours(db):
            raise
        with explained(db):
            for suffix in ("", "-wal", "-shm"):
                db.with_name(db.name + suffix).unlink(missing_ok=True)
        history = open_history(db)
    report = ingest(history, runs)
    history.dispose()
    return report


def _empty(history: Engine) -> None:
    with writing(history) as connection:
        for (number,) in connection.exec_driver_sql("SELECT number FROM run").all():
            forget(connection, number)
        connection.exec_driver_sql("DELETE FROM metric_key")


def _is_ours(db: Path) -> bool:
    """Whether the header of the SQLite file carries our application id (SQLite file format, section 1.3)."""
    try:
        with db.open("rb") as file:
            header = file.read(100)
    except OSError:
        return False
    return header.startswith(b"SQLite format 3\0") and header[68:72] == APPLICATION.to_bytes(4, "big")
