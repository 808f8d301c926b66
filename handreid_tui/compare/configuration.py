"""Which settings tell the rows of one table apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from handreid_tui.compare.finished_run import FinishedRun

Usual = dict[tuple[str, str], Any]


def usual_values(runs: Sequence[FinishedRun]) -> Usual:
    """The most frequent value of each setting, the earlier one in a tie; options of losses counted per combination."""
    ordered = sorted(runs, key=lambda run: run.number)
    alike = Counter((run.combo, run.setup) for run in ordered)
    first = {(run.combo, run.setup): run for run in reversed(ordered)}
    counts: dict[tuple[str, str], Counter[str]] = {}
    values: dict[str, Any] = {}
    for group, number in alike.items():
        for key, value in first[group].settings.items():
            values[repr(value)] = value
            counts.setdefault(_scope(group[0], key), Counter())[repr(value)] += number
    return {scope: values[counter.most_common(1)[0][0]] for scope, counter in counts.items()}


def is_usual(run: FinishedRun, usual: Usual) -> bool:
    """Whether every setting of the run has its most frequent value."""
    return all(usual[_scope(run.combo, key)] == value for key, value in run.settings.items())


def differing(runs: Sequence[FinishedRun]) -> dict[str, list[Any]]:
    """The settings that are not equal in all of `runs`, each with every run's value (None: it has no such setting)."""
    distinct = list({run.setup: run.settings for run in runs}.values())
    keys = dict.fromkeys(key for settings in distinct for key in settings)
    unequal = [key for key in keys if any(settings.get(key) != distinct[0].get(key) for settings in distinct)]
    return {key: [run.settings.get(key) for run in runs] for key in unequal}


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
