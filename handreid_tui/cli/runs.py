"""`handreid runs`, `show` and `log`: what the run history and the run directories say."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from engine.contract import run_files
from engine.contract.metrics import Stage, metrics_of
from handreid_tui import history as past
from handreid_tui.cli.up_to_date import up_to_date
from handreid_tui.history.collector import collector_paused
from handreid_tui.history.filter import parse_filter
from handreid_tui.history.filter_values import matching, missing_settings, read_settings
from handreid_tui.history.varying import varying_settings
from handreid_tui.runs.log_text import LogReader
from handreid_tui.runs.select import find_run
from handreid_tui.runs.state import observe
from handreid_tui.settings import Places
from handreid_tui.text import run_text
from handreid_tui.text.numbers import duration, metric_text
from handreid_tui.text.run_labels import run_labels
from handreid_tui.text.tables import BOLD, Columns, TextColumn, line, stdout


@collector_paused()
def show_runs(places: Places, filter: str, all: bool, as_json: bool) -> None:
    chosen = parse_filter(filter)
    opened = up_to_date(places)
    settings = read_settings(opened, missing_settings(chosen, {}))
    rows = matching({row.number: row for row in past.list_runs(opened, archived=all)}, chosen, settings)[::-1]
    if as_json:
        print(json.dumps([as_object(row) for row in rows], indent=2))
        return
    if not rows:
        none = f"No runs in {places.runs} yet: start one with `handreid run --combo ce`."
        print("No run matches the filter." if filter else none)
        return
    gives_way = {"data": 4, "subset": 12, "tags": 4}  # where the terminal is narrow
    columns = [
        TextColumn(
            [line(header, BOLD)],
            [[line(text)] for text in texts],
            number=header in ("run", "seed", "time", *(metric.title for metric in metrics_of("report", 1))),
            least=gives_way.get(header),
        )
        for header, texts in _columns(rows, run_labels(rows, varying_settings(opened), seeds=False)).items()
    ]
    stdout().print(Columns(columns))


def _columns(rows: list[past.RunRow], labels: Mapping[int, str]) -> dict[str, list[str]]:
    """The columns of the list."""
    return {
        "run": [str(row.number) for row in rows],
        "combination": [labels[row.number] for row in rows],
        "seed": [str(row.seed) for row in rows],
        "data": [row.dataset.rpartition("/")[2] for row in rows],
        "subset": [row.subset for row in rows],
        "status": [row.status + (" (stalled)" if row.stalled else "") for row in rows],
        **{
            metric.title: [metric_text(metric, row.metrics[metric.key]) for row in rows]
            for metric in metrics_of("report", 1)
        },
        "time": [duration(row.seconds) for row in rows],
        "tags": [" ".join(row.tags) for row in rows],
    }


def as_object(row: past.RunRow) -> dict[str, Any]:
    """A run as the object that `--json` prints."""
    own = {key: value for key, value in asdict(row).items() if key != "metrics"}
    return own | {"path": str(row.path), "protocol": row.protocol, **row.metrics}


def show_run(places: Places, text: str, as_json: bool) -> None:
    opened = up_to_date(places)
    row = past.find_run(opened, text)
    configuration = past.configuration(opened, row.number)
    messages = past.messages(opened, row.number)
    if as_json:
        listed = [message._asdict() for message in messages]
        print(json.dumps(as_object(row) | {"configuration": configuration, "messages": listed}, indent=2))
        return
    out = stdout()
    own = f' "{row.name}"' if row.name != row.path.name else ""
    status = f"{row.status}{': ' + row.reason if row.reason else ''}"
    out.print(Text.assemble((f"Run {row.number}{own}", "bold"), f"  {row.path.name}  {status}"))
    out.print(f"{row.combo}, seed {row.seed}, {row.protocol}")
    made = datetime.fromtimestamp(row.created).strftime("%Y-%m-%d %H:%M") if row.created else "–"
    out.print(f"made {made}, {row.epoch or 0} of {row.epochs or 0} epochs in {duration(row.seconds)} on {row.device}")
    if best := run_text.best_epoch(row):
        out.print(best)
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("%")
    for name in ("raw pixels", "before training", "after"):
        table.add_column(name, justify="right")
    found = past.summary(opened, row.number)
    stages: tuple[Stage, ...] = ("pixels", "before", "final")
    for metric in metrics_of("report"):
        values = (found.get(metric.curve(stage)) for stage in stages)
        table.add_row(metric.title, *(metric_text(metric, value.last if value else None) for value in values))
    out.print(table)
    if row.tags or row.note:
        out.print(" ".join(f"#{tag}" for tag in row.tags), row.note)
    for message in messages:
        out.print(f"{message.level}: {message.text}")
    settings = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for key, value in configuration.items():
        settings.add_row(key, str(value))
    out.print(settings)


def show_log(places: Places, text: str, follow_it: bool) -> None:
    """Print trainer.log as a terminal would show it; with `follow_it`, until the run has ended."""
    run = find_run(places.runs, text)
    reader, printed = LogReader(run / run_files.LOG), False
    while True:
        final = observe(run).final
        while (lines := reader.read()) or reader.behind:
            _print_lines(lines)
            printed = True
        if final or not follow_it:
            break
        time.sleep(0.3)
    if rest := reader.rest():
        _print_lines(rest)
    elif not printed:
        print(f"{run.name} has no output yet ({observe(run).status}).", file=sys.stderr)


def _print_lines(lines: list[str]) -> None:
    for each in lines:
        print(each)
    sys.stdout.flush()
