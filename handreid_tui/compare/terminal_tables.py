"""A comparison as tables, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from handreid_tui.compare.comparison import Comparison
from handreid_tui.compare.sheets import Cell, Sheet, sheets
from handreid_tui.text.tables import BOLD, DIM, Columns, StyledLine, TextColumn, joined, line, printable

GAP = 1  # between columns where room is short


@dataclass(frozen=True)
class ComparisonView:
    """Draws itself to the width it is given: where a line would not fit, ± and intervals go below their numbers, and
    columns without room into a table below. No word is broken that a line has room for."""

    comparison: Comparison

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for section in self.comparison.sections:
            for sheet in sheets(section):
                yield Text(printable(sheet.title), style="bold")
                if sheet.headers:
                    table = _side_by_side(sheet)
                    yield from [table] if table.width <= options.max_width else _stacked(sheet, options.max_width)
                for note in sheet.notes:
                    yield Text(printable(note), style="dim")
                yield Text()
        for note in self.comparison.notes:
            yield Text(printable(note), style="yellow")


def _side_by_side(sheet: Sheet) -> Columns:
    """Every cell on one line, its detail behind its text."""
    return Columns(
        [
            TextColumn([line(header, DIM)], [[_line(cell)] for cell in cells], number)
            for header, cells, number in _columns(sheet)
        ]
    )


def _stacked(sheet: Sheet, width: int) -> Iterator[Columns]:
    """Headers over several lines, details below their texts; each table begins with the first column."""
    names, *groups = _groups(sheet)
    shown = [*names]
    for group in groups:
        if shown != names and sum(GAP + (column.least or 0) for column in [*shown, *group]) - GAP > width:
            yield Columns(shown, GAP, fold=True)
            shown = [*names]
        shown += group
    yield Columns(shown, GAP, fold=True)


def _groups(sheet: Sheet) -> list[list[TextColumn]]:
    """The columns of a sheet; a verdict stays with the difference that it is on."""
    groups: list[list[TextColumn]] = []
    for header, cells, number in _columns(sheet):
        title = [line(part, DIM) for part in header.replace(" %", "\n%").split("\n")]
        texts = [_lines(cell) for cell in cells]
        whole = max((each.length for lines in texts for each in lines), default=0) if number else 0
        least = max(whole, *map(_longest_word, title), *(_longest_word(each) for lines in texts for each in lines))
        column = TextColumn(title, texts, number, least)
        if header == "verdict":
            groups[-1].append(column)
        else:
            groups.append([column])
    return groups


def _longest_word(words: StyledLine) -> int:
    return max((cell_len(word) for text, _ in words.parts for word in text.split()), default=0)


def _columns(sheet: Sheet) -> Iterator[tuple[str, tuple[Cell, ...], bool]]:
    cells = zip(*sheet.rows, strict=True) if sheet.rows else [()] * len(sheet.headers)
    return zip(sheet.headers, cells, sheet.numeric, strict=True)


def _line(cell: Cell) -> StyledLine:
    return joined(_text(cell), line(f" {cell.detail}", DIM)) if cell.detail else _text(cell)


def _lines(cell: Cell) -> list[StyledLine]:
    return [_text(cell), line(cell.detail.replace("± ", "±"), DIM)] if cell.detail else [_text(cell)]


def _text(cell: Cell) -> StyledLine:
    return line(cell.text, BOLD if cell.bold else None)
