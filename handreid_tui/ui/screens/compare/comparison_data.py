"""What Compare shows, read in a thread: the comparison that the command line prints too, and a curve for each row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.contract.combos import COMBOS
from engine.contract.errors import UserError
from engine.contract.metrics import metric, metrics_of
from handreid_tui.ui.chart import ticks
from handreid_tui.ui.chart.compose import Line
from handreid_tui.ui.chart.curves import Curves, Points
from handreid_tui.ui.screens.live.panels import ChartView, sign

if TYPE_CHECKING:
    from handreid_tui.compare import Comparison, FinishedRun
    from handreid_tui.compare.table import Row
    from handreid_tui.history import RunRow

USUAL_BASELINE = "ce"
_CURVES = {
    **{f"validation {each.title}, %": each for each in reversed(metrics_of("report", 1))},
    "loss": metric("total"),
    "distance within identities": metric("intra"),
    "distance between identities": metric("inter"),
}
VIEWS = tuple(
    ChartView(name, {one.curve("validation"): ""}, ticks.percent if one.unit == "fraction" else ticks.short, sign(one))
    for name, one in _CURVES.items()
)


@dataclass(frozen=True)
class ComparisonRequest:
    """What to compare. `numbers`: these runs, or all finished ones where empty."""

    history: Any
    runs: Mapping[int, RunRow]
    numbers: tuple[int, ...]
    by: str
    baseline: str
    claims: bool
    published: bool
    section: int
    view: int


@dataclass(frozen=True)
class ComparisonReading:
    request: ComparisonRequest
    comparison: Comparison
    section: int
    lines: list[Line]


class ComparisonReader:
    """Reads comparisons; keeps the last one, so that another curve or protocol costs no statistics."""

    def __init__(self) -> None:
        self._curves = Curves()
        self._known: tuple[object, Comparison] | None = None

    def read(self, request: ComparisonRequest) -> ComparisonReading:
        """Raises UserError where there is nothing to compare."""
        from handreid_tui.compare import compare_history

        finished = frozenset(n for n, run in request.runs.items() if run.status == "finished" and not run.archived)
        wanted = request.numbers, request.by, request.baseline, request.claims, request.published
        if self._known is None or self._known[0] != (wanted, finished):
            names = [str(n) for n in request.numbers if n in finished]
            if request.numbers and not names:
                raise UserError("None of the marked runs has finished: mark finished runs on Runs (3).")
            by: Any = request.by

            def compared(baseline: str) -> Comparison:
                return compare_history(request.history, names, by, baseline, request.claims, request.published)

            try:
                comparison = compared(request.baseline)
            except UserError:
                if request.baseline in COMBOS:
                    raise
                comparison = compared(USUAL_BASELINE)  # a row that is not there any more
            self._known = (wanted, finished), comparison
        comparison = self._known[1]
        section = request.section % len(comparison.sections)
        view = VIEWS[request.view % len(VIEWS)]
        rows = [row for row in comparison.sections[section].table.rows if row.runs and any(r.trained for r in row.runs)]
        lines = []
        for slot, row in enumerate(rows):
            points = self._mean(request, row, next(iter(view.metrics)))
            if points is not None:
                lines.append(Line(row.label, *points, slot))
        return ComparisonReading(request, comparison, section, lines)

    def _mean(self, request: ComparisonRequest, row: Row, key: str) -> Points | None:
        """The curve of a row: the mean over its runs, at the steps of the longest, where all have values."""
        found = [self._curve(request, run, key) for run in row.runs]
        curves = [points for points in found if points is not None]
        if not curves:
            return None
        steps = max((points[0] for points in curves), key=len)
        values = [np.interp(steps, *points, left=np.nan, right=np.nan) for points in curves]
        return steps, np.mean(values, axis=0)

    def _curve(self, request: ComparisonRequest, run: FinishedRun, key: str) -> Points | None:
        if run.number not in request.runs:
            return None
        return self._curves.read(request.history, request.runs[run.number], [key]).get(key)
