"""Lines as braille dots: pure functions over numpy arrays, no terminal.

A cell is 2 dots wide and 4 high. Each dot column shows the whole span that the line covers within it (its smallest and
largest value, and where it crosses the column's edges), so that a million points and three cost the same columns, a
spike of one point stays, and the picture equals that of the unthinned line (Jugel et al. 2014, M4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BRAILLE = 0x2800
_DOT_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.uint8)


@dataclass(frozen=True)
class View:
    """The part of the plane on show. With `log`, y0 and y1 are positive and rows are spaced by log10(y)."""

    x0: float
    x1: float
    y0: float
    y1: float
    log: bool = False

    def column(self, x: float, columns: int) -> int:
        """The column of `columns` that holds `x` (may lie outside)."""
        return int((x - self.x0) / (self.x1 - self.x0) * columns)

    def row(self, y: float, rows: int) -> int:
        """The row of `rows`, counted from the top, that holds `y` (may lie outside)."""
        low, high = self.scaled(np.array([self.y0, self.y1]))
        at = (self.scaled(np.array([y]))[0] - low) / (high - low)
        return int(min(rows - 1, rows * (1 - at))) if 0 <= at <= 1 else -1

    def scaled(self, y: Floats) -> Floats:
        """y as it stands on the axis: itself, or its logarithm (NaN where there is none)."""
        if not self.log:
            return y
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(y > 0, np.log10(y), np.nan)


@dataclass(frozen=True)
class Raster:
    """`dots` [height, width]: braille bits of each cell. `owner` [height, width]: the topmost line there, or -1."""

    dots: NDArray[np.uint8]
    owner: NDArray[np.int16]


def column_spans(x: Floats, y: Floats, view: View, columns: int) -> tuple[Floats, Floats]:
    """Lowest and highest scaled value of the line in each of `columns` columns of the view, NaN where there is none.

    x [N] ascending, y [N]; a NaN in y is a gap. Neighbouring points are joined by straight lines on the axis' scale.
    """
    low, high = np.full(columns, np.nan), np.full(columns, np.nan)
    if not len(x) or not view.x1 > view.x0:
        return low, high
    edges = np.linspace(view.x0, view.x1, columns + 1)
    ends = np.searchsorted(x, edges)
    ends[-1] = np.searchsorted(x, view.x1, side="right")
    filled = np.flatnonzero(np.diff(ends))
    if len(filled):
        inside, starts = y[: ends[-1]], ends[filled]
        if view.log and ends[0] < ends[-1] and not np.fmin.reduce(inside[ends[0] :]) > 0:
            inside = np.where(inside > 0, inside, np.nan)
        low[filled] = view.scaled(np.fmin.reduceat(inside, starts))
        high[filled] = view.scaled(np.fmax.reduceat(inside, starts))
    crossing = _values_at(edges, ends, x, y, view)
    low = np.fmin(np.fmin(low, crossing[:-1]), crossing[1:])
    high = np.fmax(np.fmax(high, crossing[:-1]), crossing[1:])
    return low, high


def _values_at(edges: Floats, after: NDArray[np.intp], x: Floats, y: Floats, view: View) -> Floats:
    """Scaled value of the line at each edge, NaN outside the line and in gaps. `after`: first point right of it."""
    right = np.clip(after, 0, len(x) - 1)
    left = np.clip(after - 1, 0, len(x) - 1)
    width = x[right] - x[left]
    share = np.divide(edges - x[left], width, out=np.zeros_like(edges), where=width > 0)
    y_left, y_right = view.scaled(y[left]), view.scaled(y[right])
    values = y_left + share * (y_right - y_left)
    return np.where((edges >= x[left]) & (edges <= x[right]), values, np.nan)


def rasterise(lines: Sequence[tuple[Floats, Floats]], width: int, height: int, view: View) -> Raster:
    """Draw `lines` (x ascending, y) into width x height cells; a later line lies above an earlier one."""
    dots = np.zeros((height, width), dtype=np.uint8)
    owner = np.full((height, width), -1, dtype=np.int16)
    bottom, top = view.scaled(np.array([view.y0, view.y1]))
    if width < 1 or height < 1 or not top > bottom:
        return Raster(dots, owner)
    rows = np.arange(4 * height)[:, None]
    for number, (x, y) in enumerate(lines):
        low, high = column_spans(x, y, view, 2 * width)
        with np.errstate(invalid="ignore"):
            seen = (high >= bottom) & (low <= top)
        # Row 0 is the top: the span's high end gives its first row.
        first = _dot_rows(high, bottom, top, 4 * height, seen)
        last = _dot_rows(low, bottom, top, 4 * height, seen)
        lit = (rows >= first) & (rows <= last) & seen
        cells = (lit.reshape(height, 4, width, 2) * _DOT_BITS[None, :, None, :]).sum(axis=(1, 3), dtype=np.uint8)
        dots |= cells
        owner[cells > 0] = number
    return Raster(dots, owner)


def _dot_rows(values: Floats, bottom: float, top: float, rows: int, seen: NDArray[np.bool_]) -> NDArray[np.int64]:
    share = np.where(seen, (top - values) / (top - bottom), 0.0)
    dots: NDArray[np.int64] = np.clip(np.rint(share * (rows - 1)), 0, rows - 1).astype(np.int64)
    return dots


def data_range(lines: Sequence[tuple[Floats, Floats]], x0: float, x1: float, log: bool) -> tuple[float, float]:
    """The y range that holds every finite point of `lines` between x0 and x1, with a little air; never empty."""
    lowest, highest = np.inf, -np.inf
    for x, y in lines:
        seen = y[np.searchsorted(x, x0) : np.searchsorted(x, x1, side="right")]
        if log and len(seen) and not np.fmin.reduce(seen) > 0:
            seen = seen[seen > 0]
        if len(seen):
            lowest, highest = np.fmin(lowest, np.fmin.reduce(seen)), np.fmax(highest, np.fmax.reduce(seen))
    if lowest > highest:
        return (0.1, 1.0) if log else (0.0, 1.0)
    if log:
        return (lowest / 2, highest * 2) if lowest == highest else (lowest * 0.95, highest * 1.05)
    lowest, highest = float(lowest), float(highest)
    air = (highest - lowest) * 0.04 or abs(highest) * 0.1 or 1.0
    return lowest - air, highest + air
