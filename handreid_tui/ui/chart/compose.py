"""A chart as a grid of characters and styles: axes, grid, lines, markers, legend, cursor. No terminal yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from handreid_tui.ui.chart import ticks
from handreid_tui.ui.chart.raster import BRAILLE, Floats, View, column_spans, data_range, rasterise
from handreid_tui.ui.chart.smooth import ema

MARKERS = "●▲■◆▼★○△□◇"
BASE, LABEL, GRID, CURSOR, STRONG, FIRST_LINE = range(6)
MARKER_EVERY = 36
LARGEST = 1e100


@dataclass(frozen=True)
class Line:
    """One curve: x [N] ascending, y [N] with NaN as gap, see `drawable`. `slot` picks its colour and marker.

    scattered: a marker at each point, for points that no line joins.
    """

    name: str
    x: Floats
    y: Floats
    slot: int = 0
    scattered: bool = False

    @property
    def marker(self) -> str:
        return MARKERS[self.slot % len(MARKERS)]


def drawable(line: Line) -> Line:
    """The line with values that no axis can hold (infinite, or beyond 1e100) as gaps."""
    usable = np.abs(line.y) < LARGEST
    return line if usable.all() else replace(line, y=np.where(usable, line.y, np.nan))


@dataclass(frozen=True)
class ChartStyle:
    """How a chart is shown. `window`: the x range zoomed to, or None for all of it. `cursor`: an x, or None."""

    log: bool = False
    smoothing: float = 0.0
    window: tuple[float, float] | None = None
    cursor: float | None = None
    x_name: str = "step"
    x_text: Callable[[float, float], str] = ticks.short
    y_text: Callable[[float, float], str] = ticks.short


@dataclass
class Grid:
    """Characters [height, width] and the number of each one's style. Line `n` has style FIRST_LINE + 2n, and one
    more for its paler raw values."""

    width: int
    height: int
    chars: NDArray[np.str_] = field(init=False)
    styles: NDArray[np.int16] = field(init=False)

    def __post_init__(self) -> None:
        self.chars = np.full((self.height, self.width), " ", dtype="<U1")
        self.styles = np.zeros((self.height, self.width), dtype=np.int16)

    def put(self, row: int, column: int, text: str, style: int) -> None:
        """Write one-cell characters; what falls outside is cut."""
        for offset, char in enumerate(text):
            at = column + offset
            if 0 <= at < self.width and 0 <= row < self.height:
                self.chars[row, at] = char if cell_len(char) == 1 else "?"
                self.styles[row, at] = style


@dataclass(frozen=True)
class Frame:
    """Where the plot stands in the grid, in cells, and what it shows."""

    left: int
    top: int
    width: int
    height: int
    view: View

    def x_at(self, column: int) -> float:
        """The x in the middle of a grid column."""
        share = (column - self.left + 0.5) / max(1, self.width)
        return self.view.x0 + share * (self.view.x1 - self.view.x0)


def full_range(lines: Sequence[Line]) -> tuple[float, float]:
    """The x range of all lines together; never empty."""
    ends = [end for line in lines if len(line.x) for end in (float(line.x[0]), float(line.x[-1]))]
    if not ends:
        return 0.0, 1.0
    low, high = min(ends), max(ends)
    if 0 < low < 0.1 * high:
        low = 0.0  # a curve that begins a little later shares its axis with the others
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def points_of(lines: Sequence[Line]) -> Floats:
    """The x of every point of the lines, ascending, each once; gaps are no points."""
    return np.unique(np.concatenate([line.x[np.isfinite(line.y)] for line in lines] or [np.empty(0)]))


def nearest_point(lines: Sequence[Line], x: float) -> float:
    """The x of the point nearest to `x`; `x` itself where there is none."""
    points = points_of(lines)
    return float(points[np.abs(points - x).argmin()]) if len(points) else x


def best_point(line: Line, better: int) -> float | None:
    """The x of the largest value (`better` 1) or the smallest (-1); of equal ones the last. None without a value."""
    values = better * np.where(np.isfinite(line.y), line.y, np.nan)
    if not np.isfinite(values).any():
        return None
    return float(line.x[np.flatnonzero(values == np.nanmax(values))[-1]])


def compose(lines: Sequence[Line], width: int, height: int, look: ChartStyle) -> tuple[Grid, Frame]:
    """Draw a chart into width x height cells. What does not fit is left out: legend, axis, then labels.

    The cursor is drawn at the point nearest to it: charts with other points may share it.
    """
    if look.cursor is not None:
        look = replace(look, cursor=nearest_point(lines, look.cursor))
    grid = Grid(width, height)
    x0, x1 = look.window or full_range(lines)
    y0, y1 = data_range([(line.x, line.y) for line in lines], x0, x1, look.log)
    view = View(x0, x1, y0, y1, look.log)
    legend = _legend(lines, look, width, max(1, height // 5)) if height >= 5 else []
    top = len(legend)
    plot_height = height - top - (1 if height >= 4 else 0)
    y_labels = _y_labels(view, plot_height, look)
    left = max((len(text) for _, text in y_labels), default=0) + 1 if width >= 24 else 0
    frame = Frame(left, top, width - left, plot_height, view)
    if frame.width < 1 or frame.height < 1:
        return grid, frame
    _draw_axes(grid, frame, y_labels, look)
    _draw_lines(grid, frame, lines, look)
    for row, pieces in enumerate(legend):
        at = 0
        for text, style in pieces:
            grid.put(row, at, text, style)
            at += len(text)
    return grid, frame


def _y_labels(view: View, rows: int, look: ChartStyle) -> list[tuple[int, str]]:
    most = max(2, round(rows / 2.5))
    marks = ticks.log_ticks(view.y0, view.y1, most) if view.log else ticks.linear_ticks(view.y0, view.y1, most)
    evenly = not view.log or len(marks) < 2 or marks[1] / marks[0] < 1.9
    step = marks[1] - marks[0] if len(marks) > 1 and evenly else 0.0
    return [(view.row(mark, rows), look.y_text(mark, step)) for mark in marks]


def _draw_axes(grid: Grid, frame: Frame, y_labels: list[tuple[int, str]], look: ChartStyle) -> None:
    for row, text in y_labels:
        if row >= 0:
            grid.put(frame.top + row, frame.left, "┈" * frame.width, GRID)
            if frame.left:
                grid.put(frame.top + row, frame.left - 1 - len(text), text, LABEL)
    if frame.top + frame.height >= grid.height:
        return
    row, view = grid.height - 1, frame.view
    marks = ticks.linear_ticks(view.x0, view.x1, max(2, frame.width // 14))
    step = marks[1] - marks[0] if len(marks) > 1 else 0.0
    name_from = grid.width - len(look.x_name)
    used = 0
    for mark in marks:
        text = look.x_text(mark, step)
        at = frame.left + view.column(mark, frame.width)
        at = max(frame.left, min(at - len(text) // 2, grid.width - len(text)))
        if at >= used and at + len(text) < name_from:
            grid.put(row, at, text, LABEL)
            used = at + len(text) + 1
    if frame.width > 3 * len(look.x_name):
        grid.put(row, name_from, look.x_name, LABEL)


def _draw_lines(grid: Grid, frame: Frame, lines: Sequence[Line], look: ChartStyle) -> None:
    # The first line is the one that matters most: it is drawn last, on top.
    order = list(reversed(range(len(lines))))
    smooth = [ema(line.x, line.y, look.smoothing) if look.smoothing else (line.x, line.y) for line in lines]
    area = np.s_[frame.top : frame.top + frame.height, frame.left : frame.left + frame.width]
    if look.cursor is not None:
        column = frame.view.column(look.cursor, frame.width)
        if 0 <= column < frame.width:
            grid.chars[area][:, column] = "│"
            grid.styles[area][:, column] = CURSOR
    raw = [(line.x, line.y) for line in lines]
    joined = [n for n in order if not lines[n].scattered]
    for layer, pale in ((raw, 1), (smooth, 0)) if look.smoothing else ((raw, 0),):
        raster = rasterise([layer[n] for n in joined], frame.width, frame.height, frame.view)
        lit = raster.dots > 0
        grid.chars[area][lit] = (BRAILLE + raster.dots[lit].astype(np.uint32)).view("<U1")
        styles = np.array([FIRST_LINE + 2 * n + pale for n in joined or order], dtype=np.int16)
        grid.styles[area][lit] = styles[raster.owner[lit]]
    for n in order:
        if lines[n].scattered:
            for x, y in zip(lines[n].x, frame.view.scaled(lines[n].y), strict=True):
                column = frame.view.column(x, frame.width) - (x == frame.view.x1)
                _put_marker(grid, frame, column, y, n, lines[n].marker)
        else:
            _draw_markers(grid, frame, smooth[n], n, lines[n].marker, look, len(lines))


def _draw_markers(
    grid: Grid, frame: Frame, points: tuple[Floats, Floats], n: int, marker: str, look: ChartStyle, count: int
) -> None:
    """A line is told by its marker too: now and then along it, at its end, and under the cursor."""
    low, high = column_spans(*points, frame.view, frame.width)
    middle = (low + high) / 2
    drawn = np.flatnonzero(np.isfinite(middle))
    if not len(drawn):
        return
    columns = {int(drawn[-1])}
    if count > 1:
        first = MARKER_EVERY * (n + 1) // (count + 1)
        columns |= set(range(first, int(drawn[-1]) - 4, MARKER_EVERY))
    if look.cursor is not None:
        columns = {frame.view.column(look.cursor, frame.width)}
    for column in columns:
        if 0 <= column < frame.width:
            _put_marker(grid, frame, column, middle[column], n, marker)


def _put_marker(grid: Grid, frame: Frame, column: int, y: float, n: int, marker: str) -> None:
    """y: on the scale of the axis; nothing is drawn where it, or the column, is out of sight."""
    bottom, top = frame.view.scaled(np.array([frame.view.y0, frame.view.y1]))
    if 0 <= column < frame.width and bottom <= y <= top:
        row = round(float((top - y) / (top - bottom)) * (4 * frame.height - 1)) // 4
        grid.put(frame.top + row, frame.left + column, marker, FIRST_LINE + 2 * n)


def value_at(line: Line, x: float) -> float:
    """The value of the point nearest to `x`, NaN where the line has none."""
    if not len(line.x):
        return float("nan")
    right = min(int(np.searchsorted(line.x, x)), len(line.x) - 1)
    left = max(0, right - 1)
    return float(line.y[left] if abs(line.x[left] - x) <= abs(line.x[right] - x) else line.y[right])


Piece = tuple[str, int]
SHORTEST_NAME = 3


def _legend(lines: Sequence[Line], look: ChartStyle, width: int, most_rows: int) -> list[list[Piece]]:
    """Rows of texts with their styles: marker and name of each line; with a cursor its x and each line's value there.

    Where they do not fit into `most_rows`, names are cut; lines that fit in no way are counted.
    """
    values = [""] * len(lines)
    head: list[Piece] = []
    if look.cursor is not None:
        head = [(f"{look.x_name} {_x_text(look)}  ", STRONG)]
        values = [f" {look.y_text(value_at(line, look.cursor), 0.0)}" for line in lines]
    longest = max((len(line.name) for line in lines), default=0)
    for room in range(longest, min(SHORTEST_NAME, longest) - 1, -1):
        entries = [
            [(line.marker, FIRST_LINE + 2 * n), (f" {_cut(line.name, room)}", LABEL), (f"{value}  ", STRONG)]
            for n, (line, value) in enumerate(zip(lines, values, strict=True))
        ]
        rows = _packed(head, entries, width)
        if len(rows) <= most_rows:
            return rows
    return _with_rest_counted(rows, entries, width, most_rows)


def _packed(head: list[Piece], entries: Sequence[list[Piece]], width: int) -> list[list[Piece]]:
    rows, used = [list(head)], _length(head)
    for entry in entries:
        length = _length(entry) - 2  # blanks at the end may be cut
        if used and used + length > width:
            rows.append([])
            used = 0
        rows[-1] += entry
        used += length + 2
    return rows


def _with_rest_counted(
    rows: list[list[Piece]], entries: Sequence[list[Piece]], width: int, most_rows: int
) -> list[list[Piece]]:
    shown = rows[:most_rows]
    drawn = sum(piece in row for row in shown for piece in (entry[0] for entry in entries))
    while drawn and _length(shown[-1]) + 4 > width:
        shown[-1] = shown[-1][:-3]
        drawn -= 1
    shown[-1].append((f"+{len(entries) - drawn}", LABEL))
    return shown


def _length(pieces: Sequence[Piece]) -> int:
    return sum(len(text) for text, _ in pieces)


def _cut(name: str, room: int) -> str:
    """The name in `room` characters: its beginning and its end, for names often differ at the end."""
    head = (room - 1) // 2
    return name if len(name) <= room else f"{name[:head]}…{name[len(name) - (room - 1 - head) :]}"


def _x_text(look: ChartStyle) -> str:
    """The x of the cursor: whole steps and epochs without decimals."""
    assert look.cursor is not None
    if look.x_text is not ticks.short:
        return look.x_text(look.cursor, 0.0)
    whole = abs(look.cursor - round(look.cursor)) < 0.005
    return look.x_text(round(look.cursor), 1.0) if whole else look.x_text(look.cursor, 0.01)
