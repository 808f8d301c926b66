"""A comparison as tables, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from handreid_tui.columns import BOLD, DIM, Column, Columns, Line, joined, line, printable
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
                yield Text(printable(sheet.title), style="bold")
                if sheet.headers:
                    table = _side_by_side(sheet)
                    yield table if table.width <= options.max_width else _stacked(sheet)
                for note in sheet.notes:
                    yield Text(printable(note), style="dim")
                yield Text()
        for note in self.comparison.notes:
            yield Text(printable(note), style="yellow")


def _side_by_side(sheet: Sheet) -> Columns:
    """Every cell on one line, its detail behind its text."""
    return Columns(
        [
            Column([line(header, DIM)], [[_line(cell)] for cell in cells], number)
            for header, cells, number in _columns(sheet)
        ]
    )


def _stacked(sheet: Sheet) -> Columns:
    """Headers over several lines, details below their texts."""
    found = []
    for header, cells, number in _columns(sheet):
        title = _BREAKS.get(header, header.replace(" %", "\n%")).split("\n")
        least = LONGEST_NAME if header in ("combination", "run") else None if number else 1
        found.append(Column([line(part, DIM) for part in title], [_lines(cell) for cell in cells], number, least))
    return Columns(found, gap=1, fold=True)


def _columns(sheet: Sheet) -> Iterator[tuple[str, tuple[Cell, ...], bool]]:
    cells = zip(*sheet.rows, strict=True) if sheet.rows else [()] * len(sheet.headers)
    return zip(sheet.headers, cells, sheet.numeric, strict=True)


def _line(cell: Cell) -> Line:
    return joined(_text(cell), line(f" {cell.detail}", DIM)) if cell.detail else _text(cell)


def _lines(cell: Cell) -> list[Line]:
    return [_text(cell), line(cell.detail.replace("± ", "±"), DIM)] if cell.detail else [_text(cell)]


def _text(cell: Cell) -> Line:
    return line(cell.text, BOLD if cell.bold else None)
