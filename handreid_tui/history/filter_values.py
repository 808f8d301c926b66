"""What the filter and the columns ask a run for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from handreid_tui.history.filter import METRICS, RUN_KEYS, Filter

if TYPE_CHECKING:
    from handreid_tui.history import RunRow

Settings = Mapping[str, Mapping[int, Any]]


def matching(runs: Mapping[int, RunRow], wanted: Filter, settings: Settings) -> list[RunRow]:
    """The runs that a filter lets through; `settings` holds, by key and run, what `read_settings` found."""

    def passes(run: RunRow) -> bool:
        return wanted.matches(lambda key: value(run, key, settings))

    return list(filter(passes, runs.values()))


def value(run: RunRow, key: str, settings: Settings) -> Any:
    """A run's value of a key of the filter language."""
    if key == "run":
        return run.number
    if key == "tag":
        return run.tags
    if key in settings:
        return settings[key].get(run.number)
    return run.metrics[key] if key in run.metrics else getattr(run, key, None)


def of_the_row(key: str) -> bool:
    """Whether the row of a run holds the value of this key."""
    return key in RUN_KEYS or key in METRICS


def missing_settings(wanted: Filter, settings: Settings) -> list[str]:
    """The keys that a filter needs, beyond those of the row, and that were not read yet."""
    return [key for key in wanted.keys if not of_the_row(key) and key not in settings]


def read_settings(history: Any, keys: list[str]) -> dict[str, dict[int, Any]]:
    """For each key the value of every run that has one. For threads.

    A key: of the configuration, `loss.*.margin` (a list, of all losses), or a stored metric as `val/mINP` (its last
    value).
    """
    from handreid_tui.history.schema import reading

    found: dict[str, dict[int, Any]] = {}
    with reading(history) as connection:
        for key in keys:
            if "/" in key:
                rows = connection.exec_driver_sql(
                    "SELECT run, last FROM summary JOIN metric_key ON id = key WHERE name = ?", (key,)
                )
                found[key] = {int(run): last for run, last in rows}
                continue
            operator = "GLOB" if "*" in key else "="
            values: dict[int, list[Any]] = {}
            for run, text in connection.exec_driver_sql(
                f"SELECT run, value FROM configuration WHERE key {operator} ? ORDER BY key", (key,)
            ):
                values.setdefault(run, []).append(json.loads(text))
            found[key] = dict(values) if "*" in key else {run: each[0] for run, each in values.items()}
    return found


def known_columns(history: Any) -> tuple[list[str], list[str]]:
    """Every configuration key and every stored metric of the history, sorted. For threads."""
    from handreid_tui.history.schema import reading

    with reading(history) as connection:
        keys = connection.exec_driver_sql("SELECT DISTINCT key FROM configuration ORDER BY key").scalars().all()
        metrics = connection.exec_driver_sql("SELECT name FROM metric_key ORDER BY name").scalars().all()
    return list(keys), list(metrics)
