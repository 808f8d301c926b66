"""`handreid compare`, `report` and `plot`: finished runs side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

from engine.contract.errors import UserError
from handreid_tui.cli.sweep_names import with_confirmations
from handreid_tui.cli.up_to_date import up_to_date
from handreid_tui.compare import FORMATS, compare_history, render
from handreid_tui.compare.table import By
from handreid_tui.history.collector import collector_paused
from handreid_tui.settings import Places
from handreid_tui.text.tables import stderr, stdout


@collector_paused()
def show_comparison(
    places: Places,
    names: list[str],
    by: str | None,
    baseline: str,
    claims: bool,
    published: bool,
    format: str,
    select: bool = False,
) -> None:
    """Print the comparison in one of the formats. Raises UserError where there is nothing to compare."""
    if format not in FORMATS:
        raise UserError(f"There is no format {format!r}, only {', '.join(FORMATS)}.")
    history, (names, by) = up_to_date(places), _named(places, names, by)
    with stderr().status("Reading final reports"):  # the first time of thousands of runs
        comparison = compare_history(history, names, _by(by), baseline, claims, published, select)
    shown = render(comparison, format)
    if isinstance(shown, str):
        print(shown, end="" if shown.endswith("\n") else "\n")
    else:
        stdout().print(shown)


def make_report(places: Places, names: list[str], by: str | None, baseline: str, output: Path) -> None:
    from handreid_tui.compare.report import write_report  # imports matplotlib

    there = output.exists()
    history, (names, by) = up_to_date(places), _named(places, names, by)
    write_report(history, output, names, _by(by), baseline)
    print(f"{'Replaced ' if there else ''}{output}: open it in a browser.", file=sys.stderr)


def make_plot(places: Places, names: list[str], kind: str, by: str | None, output: Path) -> None:
    from handreid_tui.compare.plots import save_plot  # imports matplotlib

    history, (names, by) = up_to_date(places), _named(places, names, by)
    comparison = compare_history(history, names, _by(by))
    if len(comparison.sections) > 1:
        protocols = "; ".join(section.table.protocol.title for section in comparison.sections)
        raise UserError(f"The runs are of several protocols ({protocols}): name runs of one.")
    print(save_plot(history, comparison.sections[0].table.rows, kind, output))


def _named(places: Places, names: list[str], by: str | None) -> tuple[list[str], str | None]:
    """The names with sweeps as their confirmations; these are compared by combination where nothing else is asked."""
    named = with_confirmations(places.runs, names)
    return named, by or ("combo" if named != names else None)


def _by(text: str | None) -> By | None:
    if text not in (None, "combo", "run"):
        raise UserError(f"--by takes combo or run, but got {text!r}.")
    return cast("By | None", text)
