"""Opening the run history: one SQLite file, its tables, its transactions, and what its errors mean."""

from __future__ import annotations

import shutil
import sqlite3
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel

import handreid_tui.history.models  # noqa: F401  (defines the tables)
from engine.contract.errors import UserError
from engine.contract.metrics import metric_columns

VERSION = 7
APPLICATION = 0x48524944  # "HRID" in the file's header: this SQLite file is a run history
WAIT = 30.0  # seconds that a writer waits for the others

# A point of a curve takes 22 bytes: numbers for keys, and the primary key is the table itself.
METRIC_TABLES = (
    "CREATE TABLE metric_key (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    """CREATE TABLE metric (
        run INTEGER NOT NULL, key INTEGER NOT NULL, step INTEGER NOT NULL, value REAL,
        PRIMARY KEY (run, key, step)) WITHOUT ROWID""",
    """CREATE TABLE summary (
        run INTEGER NOT NULL, key INTEGER NOT NULL, n INTEGER NOT NULL, last REAL, last_step INTEGER NOT NULL,
        min REAL, max REAL, PRIMARY KEY (run, key)) WITHOUT ROWID""",
    """CREATE TABLE message (
        run INTEGER NOT NULL, n INTEGER NOT NULL, t REAL, level TEXT NOT NULL, text TEXT NOT NULL,
        PRIMARY KEY (run, n)) WITHOUT ROWID""",
    # How far the run's files were read: bytes of events.jsonl, a hash of its first line, and when they were changed.
    """CREATE TABLE position (
        run INTEGER PRIMARY KEY, offset INTEGER NOT NULL, head TEXT NOT NULL, size INTEGER NOT NULL,
        modified INTEGER NOT NULL, folder_modified INTEGER NOT NULL, attempt_started REAL, seconds_before REAL)""",
    # What comparisons need of the final report, as handreid_tui/compare/report_cache.py keeps it.
    """CREATE TABLE report (
        run INTEGER PRIMARY KEY, stamp TEXT NOT NULL, seed INTEGER NOT NULL, config TEXT NOT NULL,
        started TEXT NOT NULL, summary TEXT NOT NULL, queries TEXT NOT NULL, trials INTEGER NOT NULL,
        sums BLOB NOT NULL, open_set BLOB NOT NULL)""",
)
TABLES_OF_A_RUN = (
    "metric",
    "summary",
    "message",
    "position",
    "report",
)  # without foreign keys, which would cost each point

ELSEWHERE = "Name another file, such as --db ~/runs.db: it is rebuilt from the runs."
SENTENCES = {
    sqlite3.SQLITE_NOTADB: "is not a database. Name another file with --db.",
    sqlite3.SQLITE_CORRUPT: "is damaged. Run `handreid rebuild` to recreate it from the run directories.",
    sqlite3.SQLITE_CANTOPEN: f"cannot be opened. {ELSEWHERE}",
    sqlite3.SQLITE_PERM: f"cannot be opened: permission denied. {ELSEWHERE}",
    sqlite3.SQLITE_READONLY: f"cannot be written. {ELSEWHERE}",
    sqlite3.SQLITE_FULL: "cannot grow: the disk is full. Free some space, or name another file with --db.",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk reports an error.",
    sqlite3.SQLITE_BUSY: f"has been in use by another program for {WAIT:.0f} s. End that program, then try again.",
}

NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "fuse.sshfs", "afs", "ceph"}


class Damaged(UserError):
    """The file of the history holds what no database of ours does."""


def open_history(db: Path) -> Engine:
    """The run history in the file `db`, made where there is none. Close it with `.dispose()`.

    An older schema is replaced by an empty one of today: the next ingest fills it from the run directories.
    Raises UserError where the file cannot be used. Warns where it lies on a network file system.
    """
    file_system = network_file_system(db)
    if file_system:
        warnings.warn(
            f"{db} is on a network file system ({file_system}), where SQLite is slow and locks may fail. "
            "Name a file on a local disk with --db; run directories may stay where they are.",
            stacklevel=2,
        )
    with explained(db):
        db.parent.mkdir(parents=True, exist_ok=True)
        history = create_engine(
            URL.create("sqlite", database=str(db.absolute())), connect_args={"timeout": WAIT}, pool_size=8
        )
        event.listen(history, "connect", _set_up)
        event.listen(history, "begin", _begin)
        _migrate(history, db, "DELETE" if file_system else "WAL")
    return history


@contextmanager
def writing(history: Engine) -> Iterator[Connection]:
    """A transaction that writes. It waits for its turn at the start, so it never fails half way for another writer."""
    with explained(history), history.connect() as connection:
        connection = connection.execution_options(immediate=True)
        with connection.begin():
            yield connection


@contextmanager
def reading(history: Engine) -> Iterator[Connection]:
    """A transaction that reads one state of the history, whatever others write meanwhile."""
    with explained(history), history.connect() as connection:
        yield connection


def network_file_system(path: Path) -> str | None:
    """The type of the network file system that `path` lies on; None on a local one or where the system has no /proc."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return None
    place = path.absolute()
    holding = [(len(mount), kind) for mount, kind in mounts if place.is_relative_to(mount)]
    kind = max(holding, default=(0, ""))[1]
    return kind if kind in NETWORK_FILE_SYSTEMS else None


@contextmanager
def explained(where: Engine | Path) -> Iterator[None]:
    """Turns the errors of SQLite and of the file system that a user can mend into UserError."""
    db = where if isinstance(where, Path) else Path(where.url.database or "")
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:  # the second: of statements past SQLAlchemy
        original = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(original, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_IOERR and _is_full(db.parent):  # SQLite's index of its log is mapped, not written
            code = sqlite3.SQLITE_FULL
        if code not in SENTENCES:
            raise
        kind = Damaged if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT) else UserError
        raise kind(f"The run history {db} {SENTENCES[code]}") from None
    except OSError as error:
        raise UserError(f"The run history {db} cannot be written: {_reason(error)}. {ELSEWHERE}") from None


def _is_full(folder: Path) -> bool:
    """Less than a page of SQLite's is free."""
    try:
        return shutil.disk_usage(folder).free < 1 << 15
    except OSError:
        return False


def _reason(error: OSError) -> str:
    return f"{error.filename} is no folder" if isinstance(error, FileExistsError) else str(error.strerror).lower()


def _set_up(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # `_begin` says when a transaction begins, not the driver
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _migrate(history: Engine, db: Path, journal: str) -> None:
    with history.connect() as connection:
        if _is_current(connection, db):
            return
    _set_journal(history, journal)
    with writing(history) as connection:
        if _is_current(connection, db):  # another process was faster
            return
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        for table in _tables(connection):
            connection.exec_driver_sql(f'DROP TABLE "{table}"')
        SQLModel.metadata.create_all(
            connection, [SQLModel.metadata.tables[name] for name in ("run", "tag", "configuration")]
        )
        for statement in METRIC_TABLES:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION}")
        connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")


def _is_current(connection: Connection, db: Path) -> bool:
    """Whether the tables are those of this version, with a column for each metric that is declared today."""
    if _version(connection, db) != VERSION:
        return False
    columns = {name for _, name, *_ in connection.exec_driver_sql("PRAGMA table_info(run)")}
    return columns >= metric_columns().keys()


def _version(connection: Connection, db: Path) -> int:
    version: int = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    application = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
    if application != APPLICATION and _tables(connection):
        raise UserError(f"{db} is the database of another program. Name another file with --db.")
    if version > VERSION:
        raise UserError(f"{db} was made by a newer handreid. Update handreid, or name another file with --db.")
    return version


def _tables(connection: Connection) -> list[str]:
    found = connection.exec_driver_sql(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    )
    return [name for (name,) in found]


def _set_journal(history: Engine, journal: str) -> None:
    """Kept in the file for good. SQLite does not wait for other processes here, so we do."""
    deadline = time.monotonic() + WAIT
    while True:
        connection = history.raw_connection()
        try:
            connection.cursor().execute(f"PRAGMA journal_mode = {journal}")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        finally:
            connection.close()
