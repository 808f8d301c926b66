"""Commands that compare runs: compare, report, plot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from handreid_tui.cli.options import (
    Baseline,
    By,
    Db,
    Names,
    Runs,
    runs_there_are,
)


def compare(
    runs_: Names = None,
    by: By = None,
    baseline: Baseline = "ce",
    claims: Annotated[bool, typer.Option("--claims", help="Does each loss do what it says?")] = False,
    published: Annotated[bool, typer.Option("--published", help="Published results of the same protocol.")] = False,
    format: Annotated[str, typer.Option(help="table, markdown, latex, csv or json.")] = "table",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Combinations side by side: mean and deviation over seeds, differences with intervals.

    Examples: `handreid compare` · `handreid compare 3 7 --format latex` · `handreid compare --claims`
    """
    from handreid_tui.cli.compare import show_comparison

    show_comparison(
        runs_there_are(db, runs), runs_ or [], by, baseline, claims, published, "json" if as_json else format
    )


def report(
    runs_: Names = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("report.html"),
    by: By = None,
    baseline: Baseline = "ce",
    db: Db = None,
    runs: Runs = None,
) -> None:
    """One HTML file with everything: tables, curves, hardest queries, how to reproduce."""
    from handreid_tui.cli.compare import make_report

    make_report(runs_there_are(db, runs), runs_ or [], by, baseline, output)


def plot(
    kind: Annotated[str, typer.Argument(help="loss, validation, geometry, cmc, roc or embedding.")],
    runs_: Names = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="png, svg or pdf [default: KIND.svg]")] = None,
    by: By = None,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """One figure, for a paper."""
    from handreid_tui.cli.compare import make_plot

    make_plot(runs_there_are(db, runs), runs_ or [], kind, by, output or Path(f"{kind}.svg"))
