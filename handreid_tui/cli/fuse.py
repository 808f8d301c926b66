"""`handreid fuse`: combine runs and print what the combination is worth."""

from __future__ import annotations

import json

from rich.table import Table

from engine.contract.metrics import metrics_of
from handreid_tui.compare.fusion import fuse_runs
from handreid_tui.runs.select import find_runs
from handreid_tui.settings import Places
from handreid_tui.text.numbers import metric_text, percent
from handreid_tui.text.tables import printable, stdout


def show_fusion(places: Places, names: list[str], as_json: bool) -> None:
    """Fuse, and print weights and metrics. Raises UserError as `fuse_runs` does."""
    made = fuse_runs(places.runs, find_runs(places.runs, names))
    if as_json:
        weights = [{"run": run.name, "weight": weight} for run, weight in zip(made.members, made.weights, strict=True)]
        shown = {"run": made.directory.name, "weights": weights, "validation_mAP": made.validation}
        print(json.dumps({**shown, **{key: made.summary.get(key) for key in (m.key for m in metrics_of("report"))}}))
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    titles = ("weight", "validation mAP %", *(metric.title for metric in metrics_of("report", 2)))
    for title in ("run", *titles):
        table.add_column(title, justify="right" if title != "run" else "left")
    rows = [
        (run.name, f"{weight:.2f}", alone, run.summary)
        for run, weight, alone in zip(made.members, made.weights, made.alone, strict=True)
    ]
    for name, weight, validation, summary in [*rows, (made.directory.name, "", made.validation, made.summary)]:
        values = (metric_text(metric, summary.get(metric.key)) for metric in metrics_of("report", 2))
        table.add_row(printable(name), weight, percent(validation), *values)
    out = stdout()
    out.print(table)
    out.print(
        "Weights of the scores, each divided by its standard deviation; chosen by validation mAP, without test images."
    )
