"""The settings in which the runs of the history differ: what tells one from another in a list."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Engine

from handreid_tui.history.schema import reading

Settings = dict[int, dict[str, Any]]

_VARYING = """
SELECT run, key, value FROM configuration
WHERE key IN (SELECT key FROM configuration GROUP BY key HAVING MIN(value) <> MAX(value))
ORDER BY run, key
"""


def varying_settings(history: Engine) -> Settings:
    """By run, its value of each configuration key that has more than one value in the history."""
    found: Settings = {}
    values: dict[str, Any] = {}  # few texts, many rows
    with reading(history) as connection:
        for run, key, text in connection.exec_driver_sql(_VARYING):
            if text not in values:
                values[text] = json.loads(text)
            found.setdefault(run, {})[key] = values[text]
    return found
