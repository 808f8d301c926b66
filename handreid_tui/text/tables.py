"""Tables of text for the terminal: Rich's own take seconds for thousands of rows."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import zip_longest
from typing import Any, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

BOLD, DIM = Style(bold=True), Style(dim=True)


class LiteralConsole(Console):
    """A console that prints text as it is: names of files and runs may hold `[brackets]` and `:colons:`.

    Style is given beside the text, or as a `Text`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)


def stdout() -> Console:
    """The console that prints on stdout. Where that is no terminal, lines are whole, for files and grep."""
    return LiteralConsole(width=None if sys.stdout.isatty() else 10_000)


def stderr() -> Console:
    """The console that prints on stderr."""
    return LiteralConsole(stderr=True)


class StyledLine(NamedTuple):
    """Text and style of each part, and the cells of the terminal that all of them take."""

    parts: tuple[tuple[str, Style | None], ...]
    length: int


Cells = Sequence[Sequence[StyledLine]]


def line(text: str, style: Style | None = None) -> StyledLine:
    """A line of one style. What would move the cursor or start a line becomes a blank: texts may come from someone
    else's files."""
    text = printable(text)
    return StyledLine(((text, style),), len(text) if text.isascii() else cell_len(text))


def joined(first: StyledLine, second: StyledLine) -> StyledLine:
    return StyledLine(first.parts + second.parts, first.length + second.length)


def printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


EMPTY = StyledLine((), 0)


@dataclass(frozen=True)
class TextColumn:
    """A header and cells, each of some lines. `least`: how narrow it may become where the table is too wide; columns
    without it give way only after those that have one, and numbers last. Where text is cut, those that have one are
    left out then, the first one first."""

    header: Sequence[StyledLine]
    cells: Cells
    number: bool = False
    least: int | None = None
    width: int = field(init=False)

    def __post_init__(self) -> None:
        longest = max((each.length for cell in (self.header, *self.cells) for each in cell), default=0)
        object.__setattr__(self, "width", longest)


@dataclass(frozen=True)
class Columns:
    """Columns side by side, `gap` blanks apart; numbers stand to the right, all else to the left.

    What is longer than its column is cut with an ellipsis, or, with `fold`, goes on in the next line.
    """

    columns: Sequence[TextColumn]
    gap: int = 2
    fold: bool = False

    @property
    def width(self) -> int:
        return _width(self.columns, self.gap)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns, shorter = self.columns, _folded
        if not self.fold:
            columns, shorter = _left(columns, self.gap, options.max_width), _cut
        if (excess := _width(columns, self.gap) - options.max_width) > 0:
            columns = [
                TextColumn(shorter([column.header], width)[0], shorter(column.cells, width), column.number)
                for column, width in zip(columns, _narrowed(columns, excess), strict=True)
            ]
        yield from _drawn(columns, " " * self.gap)


def _width(columns: Sequence[TextColumn], gap: int) -> int:
    return sum(column.width for column in columns) + gap * (len(columns) - 1)


def _left(columns: Sequence[TextColumn], gap: int, width: int) -> Sequence[TextColumn]:
    """Without the columns that would be of no use at their narrowest."""
    left = list(columns)
    for column in (each for each in columns if each.least is not None):
        narrowest = sum(min(each.width, each.width if each.least is None else each.least) for each in left)
        if narrowest + gap * (len(left) - 1) > width:
            left = [each for each in left if each is not column]
    return left


def _drawn(columns: Sequence[TextColumn], gap: str) -> Iterable[Segment]:
    """Parts of one style after another are one segment: thousands of rows have many."""
    sides = [(column.width, column.number) for column in columns]
    end = Segment.line()
    top = max((len(column.header) for column in columns), default=0)
    headers = ([EMPTY] * (top - len(column.header)) + list(column.header) for column in columns)  # down at the cells
    for row in zip(*((header, *column.cells) for header, column in zip(headers, columns, strict=True)), strict=True):
        for lines in zip_longest(*row, fillvalue=EMPTY):
            plain, blank = "", ""
            for (width, number), (parts, length) in zip(sides, lines, strict=True):
                space = " " * (width - length)
                if not length:
                    blank += space + gap
                    continue
                plain += blank + space if number else blank
                for text, style in parts:
                    if style is None:
                        plain += text
                    else:
                        yield Segment(plain)
                        yield Segment(text, style)
                        plain = ""
                blank = gap if number else space + gap
            if plain:
                yield Segment(plain)
            yield end


def _narrowed(columns: Sequence[TextColumn], excess: int) -> list[int]:
    """Widths that are `excess` less together; as near to it as can be."""
    widths = [column.width for column in columns]
    limits = (
        [column.width if column.least is None else column.least for column in columns],
        [column.width if column.number else 8 for column in columns],
        [column.width if column.number else 1 for column in columns],
        [1 for _ in columns],
    )
    for limit in limits:
        while excess > 0 and (spare := [place for place, width in enumerate(widths) if width > limit[place]]):
            widths[max(spare, key=lambda place: widths[place])] -= 1
            excess -= 1
    return widths


def _cut(cells: Cells, width: int) -> Cells:
    def cut(one: StyledLine) -> StyledLine:
        text = "".join(text for text, _ in one.parts)
        return line(set_cell_size(text, width - 1) + "…", one.parts[0][1]) if one.length > width else one

    return [[cut(one) for one in cell] for cell in cells]


def _folded(cells: Cells, width: int) -> Cells:
    def folded(one: StyledLine) -> list[StyledLine]:
        if one.length <= width:
            return [one]
        return [line(part, style) for text, style in one.parts for part in _wrapped(text, width)]

    return [[part for one in cell for part in folded(one)] for cell in cells]


@lru_cache(maxsize=1024)  # the same words stand in every row
def _wrapped(text: str, width: int) -> list[str]:
    console = Console(width=width)  # Rich asks for one, and for nothing in it
    return [part.plain.rstrip() for part in Text(text).wrap(console, width, overflow="fold")]
