"""Tables of text for the terminal: Rich's own take seconds for thousands of rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

BOLD, DIM = Style(bold=True), Style(dim=True)


class Line(NamedTuple):
    """Text and style of each part, and the cells of the terminal that all of them take."""

    parts: tuple[tuple[str, Style | None], ...]
    length: int


def line(*parts: tuple[str, Style | None]) -> Line:
    """A line of one or more styled texts. What would move the cursor or start a line becomes a blank: texts may come
    from someone else's files."""
    told = tuple((printable(text), style) for text, style in parts)
    return Line(told, sum(len(text) if text.isascii() else cell_len(text) for text, _ in told))


def printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


EMPTY = line()


@dataclass(frozen=True)
class Column:
    """A header and cells, each of some lines. Where the table is too wide, columns are folded, but none to less than
    `least`: first those that have one, then, to no less than a few characters, the others."""

    header: Sequence[Line]
    cells: Sequence[Sequence[Line]]
    number: bool = False
    least: int | None = None
    width: int = field(init=False)

    def __post_init__(self) -> None:
        longest = max((each.length for cell in (self.header, *self.cells) for each in cell), default=0)
        object.__setattr__(self, "width", longest)


@dataclass(frozen=True)
class Columns:
    """Columns side by side, `gap` blanks apart; numbers stand to the right, all else to the left."""

    columns: Sequence[Column]
    gap: int = 2

    @property
    def width(self) -> int:
        return sum(column.width for column in self.columns) + self.gap * (len(self.columns) - 1)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = self.columns
        if self.width > options.max_width:
            columns = _narrowed(columns, self.width - options.max_width, console)
        yield from _drawn(columns, " " * self.gap)


def _drawn(columns: Sequence[Column], gap: str) -> Iterable[Segment]:
    """Parts of one style after another are one segment: thousands of rows have many."""
    sides = [(column.width, column.number) for column in columns]
    end = Segment.line()
    for row in zip(*((column.header, *column.cells) for column in columns), strict=True):
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


def _narrowed(columns: Sequence[Column], excess: int, console: Console) -> list[Column]:
    """The columns, some of them folded, so that they take `excess` cells less; as near to it as can be."""
    widths = [column.width for column in columns]
    limits = (
        [column.width if column.least is None else column.least for column in columns],
        [column.width if column.number else 8 for column in columns],
        [1 for _ in columns],
    )
    for limit in limits:
        while excess > 0 and (spare := [place for place, width in enumerate(widths) if width > limit[place]]):
            widths[max(spare, key=lambda place: widths[place])] -= 1
            excess -= 1
    return [
        Column(
            _folded(column.header, width, console), [_folded(cell, width, console) for cell in column.cells], column.number
        )
        for column, width in zip(columns, widths, strict=True)
    ]


def _folded(lines: Sequence[Line], width: int, console: Console) -> Sequence[Line]:
    if all(each.length <= width for each in lines):
        return lines
    return [
        line((part.plain.rstrip(), style))
        for each in lines
        for text, style in each.parts
        for part in Text(text).wrap(console, width, overflow="fold")
    ]
