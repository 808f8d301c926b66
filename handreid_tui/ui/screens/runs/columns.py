"""The columns of the table of runs: what stands in a cell, and what a column sorts by."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.contract.metrics import metric_columns, metrics_of
from handreid_tui.text import run_text
from handreid_tui.text.numbers import duration, metric_text
from handreid_tui.ui.table import Cell, Column

if TYPE_CHECKING:
    from handreid_tui.history import RunRow


@dataclass(frozen=True)
class RunColumn:
    """`value` sorts and tells whether there is something; `better`: -1 lower, 1 higher, 0 neither."""

    column: Column
    value: Callable[[RunRow], Any]
    text: Callable[[RunRow], Cell]
    better: int = 0


def _metric(name: str, title: str, width: int, drop: int = 0) -> RunColumn:
    """The column of a metric: a column of `metric_columns`."""
    metric = metric_columns()[name].metric
    better = {"higher": 1, "lower": -1, None: 0}[metric.better] if name != "before_mAP" else 0

    def text(run: RunRow) -> Cell:
        return "" if run.metrics[name] is None else metric_text(metric, run.metrics[name])

    return RunColumn(Column(name, title, width, True, drop=drop), lambda run: run.metrics[name], text, better)


def _reports() -> list[RunColumn]:
    """The final report: the main metrics always, others where there is room."""
    more = [metric for metric in metrics_of("report", 2) if metric.importance > 1]
    return [
        *(_metric(metric.key, metric.title, max(6, len(metric.title) + 1)) for metric in metrics_of("report", 1)),
        *(_metric(each.key, each.title, max(6, len(each.title) + 1), 11 + place) for place, each in enumerate(more)),
    ]


def _state(run: RunRow) -> Cell:
    mark, style = run_text.sign(run)
    text = f"{run_text.epochs(run)}" if run_text.is_active(run) else run_text.status(run)
    return f"{mark} {text}", style.removeprefix("$")


def when(moment: float | None, now: float | None = None) -> str:
    """How long ago, in few characters."""
    if not moment:
        return ""
    past = max(0.0, (time.time() if now is None else now) - moment)
    for unit, seconds in (("d", 86400), ("h", 3600), ("min", 60)):
        if past >= seconds:
            return f"{past / seconds:.0f} {unit}"
    return "now"


def _time(run: RunRow) -> Cell:
    return duration(run.seconds) if run.seconds else ""


def _name(run: RunRow) -> str:
    return "" if run.name == run.path.name else run.name


def _data(run: RunRow) -> str:
    source = run.dataset.rstrip("/").rpartition("/")[2]
    return f"{source} {run.subset}" if run.subset not in ("", "auto") else source


COLUMNS = (
    RunColumn(Column("run", "run", 5, True), lambda r: r.number, lambda r: str(r.number)),
    RunColumn(Column("combo", "combination", 18), lambda r: r.combo, lambda r: (r.combo, "bold")),
    RunColumn(Column("seed", "seed", 5, True, drop=2), lambda r: r.seed, lambda r: str(r.seed)),
    RunColumn(Column("status", "status", 10), lambda r: r.status, _state),
    *_reports(),
    _metric("best_val_mAP", "val mAP", 8, 8),
    _metric("before_mAP", "before", 7, 10),
    _metric("total", "loss", 7, 20),
    RunColumn(Column("seconds", "time", 8, True, drop=5), lambda r: r.seconds, _time),
    RunColumn(Column("created", "age", 7, True, drop=4), lambda r: r.created, lambda r: (when(r.created), "secondary")),
    RunColumn(Column("data", "data", 22, drop=6), lambda r: _data(r), lambda r: (_data(r), "secondary")),
    RunColumn(Column("model", "model", 14, drop=9), lambda r: r.model, lambda r: (r.model, "secondary")),
    RunColumn(Column("tags", "tags", 10, drop=3), lambda r: " ".join(r.tags), lambda r: (" ".join(r.tags), "accent")),
    RunColumn(
        Column("note", "name, note", 10, drop=7, rest=True),
        lambda r: _name(r) + r.note,
        lambda r: (" · ".join(filter(None, (_name(r), r.note))), "secondary"),
    ),
)  # fmt: skip


def ordered(runs: Iterable[RunRow], column: str, descending: bool) -> list[int]:
    """The numbers of the runs, sorted by a column; those without a value at the end, equals by number, newest first."""
    found = next((c for c in COLUMNS if c.column.id == column), COLUMNS[0])
    newest_first = sorted(runs, key=lambda run: -run.number)
    with_value = [run for run in newest_first if found.value(run) not in (None, "")]
    without = [run.number for run in newest_first if found.value(run) in (None, "")]
    return [run.number for run in sorted(with_value, key=found.value, reverse=descending)] + without


def best_values(runs: Iterable[RunRow]) -> dict[tuple[str, str], float]:
    """The best value of each column among the runs of one protocol, where there are two at least."""
    found: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        for column in COLUMNS:
            if column.better and (value := column.value(run)) is not None:
                found.setdefault((run.protocol, column.column.id), []).append(column.better * value)
    return {key: max(values) for key, values in found.items() if len(values) > 1}


def cells(run: RunRow, marked: bool, best: dict[tuple[str, str], float]) -> list[Cell]:
    """The cells of a run, beginning with its mark. The best of its protocol is bold and starred."""
    row: list[Cell] = [("◆", "accent") if marked else " "]
    for column in COLUMNS:
        cell = column.text(run)
        value = column.value(run) if column.better else None
        if value is not None and best.get((run.protocol, column.column.id)) == column.better * value:
            text = cell[0] if isinstance(cell, tuple) else cell
            cell = (f"*{text}", "success bold")
        if run.archived:
            cell = (cell[0] if isinstance(cell, tuple) else cell, "secondary dim")
        row.append(cell)
    return row
