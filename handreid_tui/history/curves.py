"""Curves: the points of one metric of one run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from handreid_tui.history.schema import reading

Curve = tuple[NDArray[np.int64], NDArray[np.float64]]

_WHERE = "FROM metric WHERE run = ? AND key = ? AND step > ?"
_POINTS = f"SELECT step, value {_WHERE} ORDER BY step"
# In SQLite, a plain column beside min() or max() comes from the row that holds the smallest or largest value.
_THINNED = f"""SELECT step, min(value) {_WHERE} GROUP BY (step - ?) * ? / ?
    UNION SELECT step, max(value) {_WHERE} GROUP BY (step - ?) * ? / ?
    UNION SELECT step, value {_WHERE} AND step IN (?, ?)
    ORDER BY step"""


def curve(history: Engine, number: int, key: str, *, since: int = -1, buckets: int | None = None) -> Curve:
    """Steps (int64) and values (float64, NaN for a gap) of a metric after step `since`, both empty where there is none.

    With `buckets`, a longer curve is thinned to the smallest and the largest value of each of so many equal stretches,
    and its two ends: at most 2 * buckets + 2 points, and no spike is lost.
    """
    with reading(history) as connection:
        found = connection.exec_driver_sql(
            "SELECT key, n, last_step FROM summary JOIN metric_key ON id = key WHERE run = ? AND name = ?",
            (number, key),
        ).one_or_none()
        if found is None:
            return np.empty(0, np.int64), np.empty(0)
        key_id, n, last = found
        query: str = _POINTS
        values: tuple[int, ...] = (number, key_id, since)
        if buckets is not None and n > 2 * buckets:
            first = connection.exec_driver_sql(f"SELECT min(step) {_WHERE}", values).scalar() or 0
            stretches = (*values, first, buckets, last - first + 1)
            query, values = _THINNED, (*stretches, *stretches, *values, first, last)
        # The driver's own tuples: five times faster than rows of SQLAlchemy.
        rows = connection.connection.cursor().execute(query, values).fetchall()
    points = np.array(rows, np.float64).reshape(-1, 2)  # exact for steps, too: they stay below 2^53
    return points[:, 0].astype(np.int64), points[:, 1]
