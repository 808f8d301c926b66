"""Commands that compare runs: compare, report, plot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from handreid_tui.cli.options import (
    OUTPUT,
    Baseline,
    By,
    Db,
    Json,
    Names,
    PlotKind,
    Runs,
    Several,
    TableFormat,
    places,
    runs_there_are,
)


def compare(
    runs_: Names = None,
    by: By = None,
    baseline: Baseline = "ce",
    claims: Annotated[
        bool,
        typer.Option("--claims", help="Test the claims about each loss.", rich_help_panel=OUTPUT),
    ] = False,
    published: Annotated[
        bool,
        typer.Option("--published", help="Add published results of the same protocol.", rich_help_panel=OUTPUT),
    ] = False,
    select: Annotated[
        Literal["validation"] | None,
        typer.Option(
            help="Keep only the best configuration of each combination by validation.",
            show_default="all",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    format: Annotated[TableFormat, typer.Option(help="Format of the output.", rich_help_panel=OUTPUT)] = "table",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.", rich_help_panel=OUTPUT)] = False,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Compare combinations: mean and standard deviation over seeds, differences with intervals.

    Examples: `handreid compare` · `handreid compare 3 7 --format latex` · `handreid compare --claims` ·
    `handreid compare @3`
    """
    from handreid_tui.cli.compare import show_comparison

    chosen = "json" if as_json else format
    show_comparison(runs_there_are(db, runs), runs_ or [], by, baseline, claims, published, chosen, select is not None)


def fuse(
    runs_: Several,
    as_json: Json = False,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Combine the scores of 2 to 4 runs of one protocol into a new run, with weights chosen by validation.

    Examples: `handreid fuse 3 7` · `handreid fuse 3 7 9 && handreid compare`
    """
    from handreid_tui.cli.fuse import show_fusion

    show_fusion(places(db, runs), runs_, as_json)


def report(
    runs_: Names = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="File to write.", rich_help_panel=OUTPUT)
    ] = Path("report.html"),
    by: By = None,
    baseline: Baseline = "ce",
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Write an HTML file with all tables, curves, hardest queries, and how to reproduce the runs.

    Example: `handreid report -o report.html`
    """
    from handreid_tui.cli.compare import make_report

    make_report(runs_there_are(db, runs), runs_ or [], by, baseline, output)


def plot(
    kind: Annotated[PlotKind, typer.Argument(help="Figure to write.")],
    runs_: Names = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File to write: .png, .svg or .pdf.",
            show_default="KIND.svg",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    by: By = None,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Write one figure, for a paper.

    Example: `handreid plot cmc -o cmc.pdf`
    """
    from handreid_tui.cli.compare import make_plot

    make_plot(runs_there_are(db, runs), runs_ or [], kind, by, output or Path(f"{kind}.svg"))
