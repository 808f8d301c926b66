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
    """One curve: x [N] ascending, y [N] with NaN as gap, see `drawable`. `slot` picks its colour and marker."""

    name: str
    x: Floats
    y: Floats
    slot: int = 0

    @property
    def marker(self) -> str:
        return MARKERS[self.slot % len(MARKERS)]


def drawable(line: Line) -> Line:
    """The line with values that no axis can hold (infinite, or beyond 1e100) as gaps."""
    usable = np.abs(line.y) < LARGEST
    return line if usable.all() else replace(line, y=np.where(usable, line.y, np.nan))


@dataclass(frozen=True)
class Look:
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


def compose(lines: Sequence[Line], width: int, height: int, look: Look) -> tuple[Grid, Frame]:
    """Draw a chart into width x height cells. What does not fit is left out: legend, axis, then labels."""
    grid = Grid(width, height)
    x0, x1 = look.window or full_range(lines)
    y0, y1 = data_range([(line.x, line.y) for line in lines], x0, x1, look.log)
    view = View(x0, x1, y0, y1, look.log)
    top = 1 if height >= 5 else 0
    plot_height = height - top - (1 if height >= 4 else 0)
    y_labels = _y_labels(view, plot_height, look)
    left = max((len(text) for _, text in y_labels), default=0) + 1 if width >= 24 else 0
    frame = Frame(left, top, width - left, plot_height, view)
    if frame.width < 1 or frame.height < 1:
        return grid, frame
    _draw_axes(grid, frame, y_labels, look)
    _draw_lines(grid, frame, lines, look)
    if top:
        _draw_legend(grid, lines, look)
    return grid, frame


def _y_labels(view: View, rows: int, look: Look) -> list[tuple[int, str]]:
    most = max(2, round(rows / 2.5))
    marks = ticks.log_ticks(view.y0, view.y1, most) if view.log else ticks.linear_ticks(view.y0, view.y1, most)
    evenly = not view.log or len(marks) < 2 or marks[1] / marks[0] < 1.9
    step = marks[1] - marks[0] if len(marks) > 1 and evenly else 0.0
    return [(view.row(mark, rows), look.y_text(mark, step)) for mark in marks]


def _draw_axes(grid: Grid, frame: Frame, y_labels: list[tuple[int, str]], look: Look) -> None:
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
        grid.put(row, name_from, look.x_name, CURSOR)


def _draw_lines(grid: Grid, frame: Frame, lines: Sequence[Line], look: Look) -> None:
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
    for layer, pale in ((raw, 1), (smooth, 0)) if look.smoothing else ((raw, 0),):
        raster = rasterise([layer[n] for n in order], frame.width, frame.height, frame.view)
        lit = raster.dots > 0
        grid.chars[area][lit] = (BRAILLE + raster.dots[lit].astype(np.uint32)).view("<U1")
        styles = np.array([FIRST_LINE + 2 * n + pale for n in order], dtype=np.int16)
        grid.styles[area][lit] = styles[raster.owner[lit]]
    for n in order:
        _draw_markers(grid, frame, smooth[n], n, lines[n].marker, look, len(lines))


def _draw_markers(
    grid: Grid, frame: Frame, points: tuple[Floats, Floats], n: int, marker: str, look: Look, count: int
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
    bottom, top = frame.view.scaled(np.array([frame.view.y0, frame.view.y1]))
    for column in columns:
        if 0 <= column < frame.width and bottom <= middle[column] <= top:
            row = round(float((top - middle[column]) / (top - bottom)) * (4 * frame.height - 1)) // 4
            grid.put(frame.top + row, frame.left + column, marker, FIRST_LINE + 2 * n)


def value_at(line: Line, x: float) -> float:
    """The value of the point nearest to `x`, NaN where the line has none."""
    if not len(line.x):
        return float("nan")
    right = min(int(np.searchsorted(line.x, x)), len(line.x) - 1)
    left = max(0, right - 1)
    return float(line.y[left] if abs(line.x[left] - x) <= abs(line.x[right] - x) else line.y[right])


def _draw_legend(grid: Grid, lines: Sequence[Line], look: Look) -> None:
    """Marker and name of each line; with a cursor its x and each line's value there, rather than the names."""
    at = 0
    names, values = [line.name for line in lines], [""] * len(lines)
    if look.cursor is not None:
        span = 1.0 if look.x_text is ticks.short else 0.0
        text = f"{look.x_name} {look.x_text(round(look.cursor), span)}"
        grid.put(0, at, text, STRONG)
        at += len(text) + 2
        values = [f" {look.y_text(value_at(line, look.cursor), 0.0)}" for line in lines]
        if at + sum(len(name + value) + 4 for name, value in zip(names, values, strict=True)) - 2 > grid.width:
            names, values = [""] * len(lines), [value[1:] for value in values]
    for n, (line, name, value) in enumerate(zip(lines, names, values, strict=True)):
        rest = len(lines) - n - 1
        if at + 2 + len(name + value) > grid.width - (5 if rest else 0):
            grid.put(0, at, f"+{rest + 1}", LABEL)
            return
        grid.put(0, at, line.marker, FIRST_LINE + 2 * n)
        grid.put(0, at + 2, name, LABEL)
        grid.put(0, at + 2 + len(name), value, STRONG)
        at += len(name + value) + 4
