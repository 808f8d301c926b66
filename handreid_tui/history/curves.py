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
        place = (number, key_id, since)
        if buckets is not None and n > 2 * buckets:
            first = connection.exec_driver_sql(f"SELECT min(step) {_WHERE}", place).scalar() or 0
            stretches = (*place, first, buckets, last - first + 1)
            rows = connection.exec_driver_sql(_THINNED, (*stretches, *stretches, *place, first, last)).all()
        else:
            rows = connection.exec_driver_sql(_POINTS, place).all()
    steps, values = zip(*rows, strict=True) if rows else ((), ())
    return np.array(steps, np.int64), np.array(values, np.float64)
