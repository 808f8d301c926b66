"""What the filter asks a run for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from handreid_tui.history.filter import METRICS, RUN_KEYS, Filter

if TYPE_CHECKING:
    from handreid_tui.history import RunRow

Settings = Mapping[str, Mapping[int, Any]]


def matching(runs: Mapping[int, RunRow], wanted: Filter, settings: Settings) -> list[RunRow]:
    """The runs that a filter lets through; `settings` holds its configuration keys by run."""
    return [run for run in runs.values() if wanted.matches(lambda key, run=run: value(run, key, settings))]  # type: ignore[misc]


def value(run: RunRow, key: str, settings: Settings) -> Any:
    """A run's value of a key of the filter language."""
    if key == "run":
        return run.number
    if key == "tag":
        return run.tags
    if key in settings:
        return settings[key].get(run.number)
    return run.metrics[key] if key in run.metrics else getattr(run, key, None)


def missing_settings(wanted: Filter, settings: Settings) -> list[str]:
    """The configuration keys that a filter needs and that were not read yet."""
    of_the_row = (*RUN_KEYS, *METRICS)
    return [key for key in wanted.keys if key not in of_the_row and key not in settings]


def read_settings(history: Any, keys: list[str]) -> dict[str, dict[int, Any]]:
    """One configuration value of every run, for each key. For threads."""
    from handreid_tui.history.schema import reading

    with reading(history) as connection:
        return {
            key: {
                run: json.loads(text)
                for run, text in connection.exec_driver_sql(
                    "SELECT run, value FROM configuration WHERE key = ?", (key,)
                )
            }
            for key in keys
        }
