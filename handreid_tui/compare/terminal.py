"""A comparison as Rich tables, for the terminal."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from handreid_tui.compare.cells import Cell, Sheet, sheets
from handreid_tui.compare.comparison import Comparison

LONGEST_NAME = len("ce_triplet_center")
_BREAKS = {"compactness": "compact-\nness", "separation": "separa-\ntion", "rank-10 %": "rank\n-10 %"}


@dataclass(frozen=True)
class ComparisonView:
    """Draws itself to the width it is given: where a line would not fit, ± and intervals go below their numbers."""

    comparison: Comparison

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for section in self.comparison.sections:
            for sheet in sheets(section):
                yield Text(sheet.title, style="bold")
                if sheet.headers:
                    table = _table(sheet, stacked=False)
                    yield table if _fits(console, options, table) else _table(sheet, stacked=True)
                for note in sheet.notes:
                    yield Text(note, style="dim")
                yield Text()
        for note in self.comparison.notes:
            yield Text(note, style="yellow")


def _fits(console: Console, options: ConsoleOptions, table: Table) -> bool:
    return Measurement.get(console, options.update(width=10_000), table).maximum <= options.max_width


def _table(sheet: Sheet, stacked: bool) -> Table:
    table = Table(box=None, padding=(0, 1 if stacked else 2, 0, 0), pad_edge=False, header_style="dim")
    for header, number in zip(sheet.headers, sheet.numeric, strict=True):
        title = _BREAKS.get(header, header.replace(" %", "\n%")) if stacked else header
        least = LONGEST_NAME if stacked and header in ("combination", "run") else None
        justify: JustifyMethod = "right" if number else "left"
        table.add_column(title, justify=justify, no_wrap=not stacked, overflow="fold", min_width=least)
    for row in sheet.rows:
        table.add_row(*(_text(cell, stacked) for cell in row), end_section=stacked)
    return table


def _text(cell: Cell, stacked: bool) -> Text:
    text = Text(cell.text, style="bold" if cell.bold else "")
    if cell.detail:
        text.append("\n" + cell.detail.replace("± ", "±") if stacked else " " + cell.detail, style="not bold dim")
    return text
