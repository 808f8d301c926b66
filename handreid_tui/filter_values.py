"""What a filter asks of a run: its row in the history, and its configuration where the filter names a key of it."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Engine

from handreid_tui.filter import Filter, Values
from handreid_tui.history import RunRow, configuration

ROW_NAMES = {"run": "number", "tag": "tags"}


def values_of(history: Engine, row: RunRow, chosen: Filter) -> Values:
    """The lookup that `chosen.matches` wants for the run `row`; the configuration is read once, and only if needed."""

    @cache
    def settings() -> dict[str, Any]:
        return configuration(history, row.number)

    def value(key: str) -> Any:
        name = ROW_NAMES.get(key, key)
        return getattr(row, name) if hasattr(row, name) else settings().get(key)

    return value
