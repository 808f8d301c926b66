"""Which settings tell the rows of one table apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from handreid_tui.compare.runs import FinishedRun

Usual = dict[tuple[str, str], Any]


def usual_values(runs: Sequence[FinishedRun]) -> Usual:
    """The most frequent value of each setting, the earlier one in a tie; options of losses counted per combination."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    values: dict[str, Any] = {}
    for run in sorted(runs, key=lambda run: run.number):
        for key, value in run.settings.items():
            values[repr(value)] = value
            counts.setdefault(_scope(run.combo, key), Counter())[repr(value)] += 1
    return {scope: values[counter.most_common(1)[0][0]] for scope, counter in counts.items()}


def label(run: FinishedRun, usual: Usual, combo: str | None = None, prefixes: tuple[str, ...] = ("",)) -> str:
    """The combination's name, and in brackets the settings in which it is not the usual one."""
    unusual = {
        key: value
        for key, value in run.settings.items()
        if key.startswith(prefixes) and usual[_scope(run.combo, key)] != value
    }
    name = combo or run.combo
    return f"{name} ({', '.join(f'{key}={show(value)}' for key, value in unusual.items())})" if unusual else name


def differing(runs: Sequence[FinishedRun]) -> dict[str, list[Any]]:
    """The settings that are not equal in all of `runs`, each with every run's value (None: it has no such setting)."""
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    rows = {key: [run.settings.get(key) for run in runs] for key in keys}
    return {key: values for key, values in rows.items() if any(value != values[0] for value in values)}


def show(value: Any) -> str:
    """A setting as a person writes it: 1e-06, not 0.000001; lists without blanks."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return f"[{','.join(show(each) for each in value)}]"
    return str(value)


def _scope(combo: str, key: str) -> tuple[str, str]:
    return (combo if key.startswith("loss.") else "", key)
