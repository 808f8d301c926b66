"""The columns of the table of runs: what stands in a cell, and what a column sorts by."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from engine.contract.metrics import fractions, metric_columns, metrics_of
from handreid_tui.history.filter_values import Settings, value
from handreid_tui.text import run_text
from handreid_tui.text.numbers import duration, metric_text, percent
from handreid_tui.text.run_labels import short_key, show
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


def _whole(name: str) -> Callable[[RunRow], Cell]:
    return lambda run: str(getattr(run, name) or "")


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


def _data(run: RunRow) -> str:
    source = run.dataset.rstrip("/").rpartition("/")[2]
    return f"{source} {run.subset}" if run.subset not in ("", "auto") else source


TESTED = frozenset(metric.key for metric in metrics_of("report"))

LABEL = RunColumn(Column("combo", "combination", 18), lambda r: r.combo, lambda r: (r.combo, "bold"))
LABEL_WIDTHS = (18, 40)
USUAL = (
    RunColumn(Column("run", "run", 5, True), lambda r: r.number, lambda r: str(r.number)),
    LABEL,
    RunColumn(Column("seed", "seed", 5, True, drop=2), lambda r: r.seed, lambda r: str(r.seed)),
    RunColumn(Column("status", "status", 10), lambda r: r.status, _state),
    *_reports(),
    _metric("best_val_mAP", "best val mAP", 13, 6),
    RunColumn(Column("best_epoch", "best epoch", 11, True, drop=7), lambda r: r.best_epoch, _whole("best_epoch")),
    _metric("before_mAP", "before", 7, 10),
    _metric("total", "loss", 7, 20),
    RunColumn(Column("seconds", "time", 8, True, drop=5), lambda r: r.seconds, _time),
    RunColumn(Column("created", "age", 7, True, drop=4), lambda r: r.created, lambda r: (when(r.created), "secondary")),
    RunColumn(Column("data", "data", 22, drop=8), lambda r: _data(r), lambda r: (_data(r), "secondary")),
    RunColumn(Column("model", "model", 14, drop=9), lambda r: r.model, lambda r: (r.model, "secondary")),
    RunColumn(Column("tags", "tags", 10, drop=3), lambda r: " ".join(r.tags), lambda r: (" ".join(r.tags), "accent")),
    RunColumn(Column("note", "note", 10, drop=7, rest=True), lambda r: r.note, lambda r: (r.note, "secondary")),
)  # fmt: skip
USUAL_IDS = tuple(column.column.id for column in USUAL)


def columns(chosen: Sequence[str], labels: Mapping[int, str], settings: Settings) -> tuple[RunColumn, ...]:
    """The columns with these ids, in this order: of the usual ones, or a configuration key, or a metric.

    labels: what the column of the combination shows. settings: see `read_settings`.
    """
    usual = {column.column.id: column for column in USUAL}
    usual[LABEL.column.id] = _label_column(labels)
    return tuple(usual[key] if key in usual else _extra(key, settings) for key in chosen)


def choosable(settings: Iterable[str], metrics: Iterable[str]) -> dict[str, str]:
    """Every column that there can be, with a word on it."""
    names = {column.column.id: column.column.title for column in USUAL}
    rest = ((settings, "setting"), (metrics, "metric"))
    return names | {key: word for keys, word in rest for key in keys if key not in names}


def _label_column(labels: Mapping[int, str]) -> RunColumn:
    low, high = LABEL_WIDTHS
    width = max(low, min(high, max(map(len, labels.values()), default=0)))

    def label(run: RunRow) -> str:
        return labels.get(run.number, run.combo)

    return RunColumn(replace(LABEL.column, width=width), label, lambda run: (label(run), "bold"))


def _extra(key: str, settings: Settings) -> RunColumn:
    """A column of any configuration key or metric."""
    rate = key in fractions()

    def of(run: RunRow) -> Any:
        return value(run, key, settings)

    def text(run: RunRow) -> Cell:
        found = of(run)
        if isinstance(found, float) and rate:
            return percent(found)
        return "" if found is None else show(found)

    def sorts(run: RunRow) -> Any:
        found = of(run)
        return (
            None if found is None else (isinstance(found, str), found if isinstance(found, str | float | int) else "")
        )

    title = key if "/" in key else short_key(key, ())
    return RunColumn(Column(key, title, max(6, min(18, len(title) + 1)), True, drop=1), sorts, text)


def ordered(runs: Iterable[RunRow], shown: Sequence[RunColumn], column: str, descending: bool) -> list[int]:
    """The numbers of the runs, sorted by a column; those without a value at the end, equals by number, newest first."""
    found = next((c for c in (*shown, *USUAL) if c.column.id == column), USUAL[0])
    newest_first = sorted(runs, key=lambda run: -run.number)
    with_value = [run for run in newest_first if found.value(run) not in (None, "")]
    without = [run.number for run in newest_first if found.value(run) in (None, "")]
    return [run.number for run in sorted(with_value, key=found.value, reverse=descending)] + without


def best_values(runs: Iterable[RunRow], shown: Sequence[RunColumn]) -> dict[tuple[str, str], float]:
    """The values to star: those of the run of each protocol that is best by validation, where two were validated.

    A column of the training itself stars its own best value. Test results are shown, never chosen by.
    """
    rated = [column for column in shown if column.better]
    own: dict[tuple[str, str], list[float]] = {}
    validated: dict[str, list[RunRow]] = {}
    for run in runs:
        if run.metrics["best_val_mAP"] is not None:
            validated.setdefault(run.protocol, []).append(run)
        for column in rated:
            if column.column.id not in TESTED and (value := column.value(run)) is not None:
                own.setdefault((run.protocol, column.column.id), []).append(column.better * value)
    stars = {key: max(values) for key, values in own.items() if len(values) > 1}
    for protocol, group in validated.items():
        best = max(group, key=lambda run: (run.metrics["best_val_mAP"], run.number))
        for column in rated if len(group) > 1 else ():
            if column.column.id in TESTED and (value := column.value(best)) is not None:
                stars[protocol, column.column.id] = column.better * value
    return stars


def cells(run: RunRow, shown: Sequence[RunColumn], marked: bool, best: Mapping[tuple[str, str], float]) -> list[Cell]:
    """The cells of a run, beginning with its mark. What `best_values` chose is bold and starred."""
    row: list[Cell] = [("◆", "accent") if marked else " "]
    for column in shown:
        cell = column.text(run)
        value = column.value(run) if column.better else None
        if value is not None and best.get((run.protocol, column.column.id)) == column.better * value:
            text = cell[0] if isinstance(cell, tuple) else cell
            cell = (f"*{text}", "success bold")
        if run.archived:
            cell = (cell[0] if isinstance(cell, tuple) else cell, "secondary italic")
        row.append(cell)
    return row
