"""Writing folded events into the tables, inside the transaction that also moves the offset."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from sqlalchemy import Connection

from engine.contract.metrics import metric_columns
from handreid_tui.history.fold import PROMPTS, Points, Segment
from handreid_tui.history.schema import TABLES_OF_A_RUN
from handreid_tui.runs.safe_files import plain

# Events count steps from 0: the metrics of step N are made after a checkpoint at step N, evaluations at N before it.
# The first stage counts its own steps.
_OF_PROMPTS = f"key IN (SELECT id FROM metric_key WHERE name LIKE '{PROMPTS}%')"
_VOID = f"""run = ? AND NOT {_OF_PROMPTS} AND (step > ? OR step = ? AND key IN (
    SELECT id FROM metric_key WHERE name IN ('total', 'lr', 'images_per_s')
    OR name LIKE 'term/%' OR name LIKE 'system/%')) OR run = ? AND {_OF_PROMPTS} AND step >= ?"""

_SUMMARY_FROM_POINTS = """INSERT OR REPLACE INTO summary
    SELECT run, key, count(*),
           (SELECT value FROM metric AS m WHERE m.run = metric.run AND m.key = metric.key ORDER BY step DESC LIMIT 1),
           max(step), min(value), max(value)
    FROM metric WHERE run = ? AND key = ? GROUP BY run, key"""


def apply_segments(connection: Connection, run: int, segments: list[Segment]) -> None:
    """Add the points, messages and columns of `segments` to the run."""
    attempt_started, before, seconds = connection.exec_driver_sql(
        "SELECT attempt_started, seconds_before, seconds FROM position JOIN run ON number = run WHERE run = ?", (run,)
    ).one()
    columns: dict[str, Any] = {}
    for segment in segments:
        if segment.resumed_from is not None:
            _take_back(connection, run, segment.resumed_from, segment.prompts_from)
            attempt_started, before = segment.started, seconds
        add_points(connection, run, segment.points)
        _add_messages(connection, run, segment)
        if segment.last is not None and segment.first is not None:
            attempt_started = segment.first if attempt_started is None else attempt_started
            seconds = round((before or 0.0) + max(0.0, segment.last - attempt_started), 3)
        columns |= segment.columns
    set_columns(connection, run, columns | {"seconds": seconds} | _metric_columns(connection, run))
    connection.exec_driver_sql(
        "UPDATE position SET attempt_started = ?, seconds_before = ? WHERE run = ?", (attempt_started, before, run)
    )


def add_points(connection: Connection, run: int, points: Points) -> None:
    """Add points; where a step is there already, the later value stands. The summary stays what the points say."""
    usable = {name: columns for name, columns in points.items() if plain(name, 100) == name}
    if not usable:
        return
    keys = _key_ids(connection, usable)
    known = {
        key: rest
        for key, *rest in connection.exec_driver_sql(
            "SELECT key, n, last_step, min, max FROM summary WHERE run = ?", (run,)
        )
    }
    rows, summaries, mixed = [], [], []
    for name, (steps, values) in usable.items():
        key = keys[name]
        n, last_step, low, high = known.get(key, (0, -1, None, None))
        rows += [(run, key, step, value) for step, value in zip(steps, values, strict=True)]
        if steps[0] > last_step and all(a < b for a, b in pairwise(steps)):
            numbers = [value for value in (low, high, *values) if value is not None]
            low, high = min(numbers, default=None), max(numbers, default=None)
            summaries.append((run, key, n + len(steps), values[-1], steps[-1], low, high))
        else:
            mixed.append((run, key))
    connection.exec_driver_sql("INSERT OR REPLACE INTO metric VALUES (?, ?, ?, ?)", rows)
    if summaries:
        connection.exec_driver_sql("INSERT OR REPLACE INTO summary VALUES (?, ?, ?, ?, ?, ?, ?)", summaries)
    for pair in mixed:
        connection.exec_driver_sql(_SUMMARY_FROM_POINTS, pair)


def forget(connection: Connection, run: int) -> None:
    """Remove the run and all that belongs to it."""
    for table in TABLES_OF_A_RUN:
        connection.exec_driver_sql(f"DELETE FROM {table} WHERE run = ?", (run,))
    connection.exec_driver_sql("DELETE FROM run WHERE number = ?", (run,))


def set_columns(connection: Connection, run: int, columns: dict[str, Any]) -> None:
    """Set columns of the run's row."""
    names = ", ".join(f"{name} = ?" for name in columns)
    connection.exec_driver_sql(f"UPDATE run SET {names} WHERE number = ?", (*columns.values(), run))


def _take_back(connection: Connection, run: int, step: int, prompt_step: int) -> None:
    """Void what an earlier attempt did after the checkpoint that this one continues from."""
    values = (run, step, step, run, prompt_step)
    if not connection.exec_driver_sql(f"DELETE FROM metric WHERE {_VOID}", values).rowcount:
        return
    keys = connection.exec_driver_sql("SELECT key FROM summary WHERE run = ?", (run,)).all()
    connection.exec_driver_sql("DELETE FROM summary WHERE run = ?", (run,))
    for (key,) in keys:
        connection.exec_driver_sql(_SUMMARY_FROM_POINTS, (run, key))


def _add_messages(connection: Connection, run: int, segment: Segment) -> None:
    if not segment.messages:
        return
    count = connection.exec_driver_sql("SELECT count(*) FROM message WHERE run = ?", (run,)).scalar_one()
    rows = [(run, count + i, *message) for i, message in enumerate(segment.messages)]
    connection.exec_driver_sql("INSERT INTO message VALUES (?, ?, ?, ?, ?)", rows)


def _key_ids(connection: Connection, names: Points) -> dict[str, int]:
    known = {name: key for key, name in connection.exec_driver_sql("SELECT id, name FROM metric_key")}
    for name in names:
        if name not in known:
            found = connection.exec_driver_sql("INSERT INTO metric_key (name) VALUES (?) RETURNING id", (name,))
            known[name] = found.scalar_one()
    return known


def _metric_columns(connection: Connection, run: int) -> dict[str, float | None]:
    summary = {
        name: {"last": last, "max": high, "min": low}
        for name, last, high, low in connection.exec_driver_sql(
            "SELECT name, last, max, min FROM summary JOIN metric_key ON id = key WHERE run = ?", (run,)
        )
    }
    return {name: summary.get(column.curve, {}).get(column.part) for name, column in metric_columns().items()}
