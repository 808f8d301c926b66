"""A sweep as one line among the runs: its trials are shown when it is opened, its confirmations always."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from handreid_tui.history.filter import Filter
from handreid_tui.text import run_text
from handreid_tui.text.numbers import percent
from handreid_tui.ui.page import Page
from handreid_tui.ui.screens.runs.columns import RunColumn
from handreid_tui.ui.table import Cell

if TYPE_CHECKING:
    from handreid_tui.history import RunRow

COLLAPSED = ("trial", "shortlist")  # roles
ASKED_FOR = ("sweep", "role", "trial")  # filters that ask for the trials themselves


class SweepLines:
    """The sweeps of the runs in sight. The key of a sweep's line is minus its number."""

    def __init__(self) -> None:
        self._trials: dict[int, list[RunRow]] = {}

    def take(self, runs: Iterable[RunRow], wanted: Filter) -> list[RunRow]:
        """Collapse the sweeps: of each, the trial that stands for it in the order, with all other runs."""
        self._trials, others = {}, []
        collapses = not set(ASKED_FOR) & wanted.keys
        for run in runs:
            if collapses and run.sweep and run.role in COLLAPSED:
                self._trials.setdefault(run.sweep, []).append(run)
            else:
                others.append(run)
        return [*others, *(_best(trials) for trials in self._trials.values())]

    def keys(self, numbers: Sequence[int]) -> list[int]:
        """The keys of lines, from the runs that stand for them."""
        stands_for = {_best(trials).number: -sweep for sweep, trials in self._trials.items()}
        return [stands_for.get(number, number) for number in numbers]

    def cells(self, key: int, columns: Sequence[RunColumn]) -> list[Cell]:
        """The cells of a sweep's line: what it is, how far, and its best trial by validation."""
        trials = self._trials.get(-key, [])
        summary = _summary(-key, trials)
        return [" ", *(summary.get(column.column.id, "") for column in columns)]


def _best(trials: Sequence[RunRow]) -> RunRow:
    return max(trials, key=lambda run: (run.metrics["best_val_mAP"] or -1.0, run.number))


def _summary(sweep: int, trials: Sequence[RunRow]) -> Mapping[str, Cell]:
    if not trials:
        return {}
    combos = ", ".join(dict.fromkeys(run.combo for run in trials))
    going = sum(run_text.is_active(run) for run in trials)
    queued = sum(run.status == "queued" for run in trials)
    done = len(trials) - going - queued
    best = _best(trials).metrics["best_val_mAP"]
    return {
        "run": f"@{sweep}",
        "combo": (f"sweep of {combos}", "bold"),
        "status": (f"{'▶' if going else '◌' if queued else '✓'} {done}/{len(trials)}", "primary" if going else ""),
        "best_val_mAP": percent(best) if best is not None else "",
        "note": (f"{len(trials)} trials; enter opens", "secondary"),
    }


def open_sweep(page: Page, number: int, filter_by: Callable[[str], None]) -> None:
    """Show a sweep; `filter_by` gets the filter for its runs, if the user wants to see them in the table."""
    from handreid_tui.ui.screens.runs.sweep_view import SweepView

    page.app.push_screen(SweepView(page.handreid.places.runs, number), lambda text: filter_by(text) if text else None)
