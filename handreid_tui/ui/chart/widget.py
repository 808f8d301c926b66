"""The chart on the screen: a widget on Textual's Line API with zoom, pan, cursor, smoothing and a log axis."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import ClassVar

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.color import Color
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from handreid_tui.ui.chart.compose import (
    FIRST_LINE,
    ChartStyle,
    Frame,
    Grid,
    Line,
    best_point,
    compose,
    drawable,
    full_range,
    nearest_point,
    points_of,
)
from handreid_tui.ui.chart.raster import View
from handreid_tui.ui.chart.smooth import LEVELS
from handreid_tui.ui.keymap import named
from handreid_tui.ui.theme import series_colors

CLOSEST_ZOOM = 1e-6


class Chart(Widget, can_focus=True):
    """Lines over a shared x axis. `set_lines` gives it new data; rows that look the same are not drawn again."""

    DEFAULT_CSS = """
    Chart {
        border: round $border-blurred;
        border-title-color: $foreground;
        border-title-style: bold;
        border-subtitle-color: $secondary;
        padding: 0 1;
        min-height: 4;
    }
    Chart:focus { border: round $border; }
    """

    BINDINGS: ClassVar[list[BindingType]] = named(
        "chart",
        [
            Binding("left,h", "cursor(-1)", "Cursor left", key_display="←→", tooltip="Cursor to the previous point"),
            Binding("right,l", "cursor(1)", "Cursor right", show=False, tooltip="Cursor to the next point"),
            Binding("asterisk", "cursor_to_best", "Best", key_display="*", tooltip="Cursor to the best value"),
            Binding("home,g", "cursor_to(0)", "Cursor to the start", show=False),
            Binding("end,G", "cursor_to(1)", "Cursor to the end", show=False),
            Binding("plus,equals_sign", "zoom(0.5)", "Zoom in", key_display="+", show=False),
            Binding("minus", "zoom(2)", "Zoom out", show=False),
            Binding("shift+left,comma", "pan(-0.25)", "Pan left", key_display="shift+←", show=False),
            Binding("shift+right,full_stop", "pan(0.25)", "Pan right", key_display="shift+→", show=False),
            Binding("0", "reset", "Reset zoom", show=False),
            Binding("L", "toggle_log", "Log y"),
            Binding("right_square_bracket", "smooth(1)", "Smoother", key_display="]"),
            Binding("left_square_bracket", "smooth(-1)", "Less smooth", key_display="[", show=False),
            Binding("z", "toggle_full", "Full size"),
            Binding("escape", "clear_cursor", "Hide the cursor", show=False),
        ],
    )

    class LookChanged(Message):
        """Cursor, window, smoothing or axis changed by the user; sibling charts may follow."""

        def __init__(self, chart: Chart) -> None:
            super().__init__()
            self.chart = chart

        @property
        def control(self) -> Chart:
            return self.chart

    def __init__(
        self,
        title: str,
        *,
        empty: str = "No points yet.",
        y_text: Callable[[float, float], str] | None = None,
        log: bool = False,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.border_title = title
        self.look = ChartStyle(log=log) if y_text is None else ChartStyle(log=log, y_text=y_text)
        self.lines: list[Line] = []
        self._empty = empty
        self._strips: list[Strip] = []
        self._frame = Frame(0, 0, 1, 1, View(0, 1, 0, 1))
        self.note = ""
        self.better = 1
        self._grabbed: tuple[int, tuple[float, float]] | None = None

    def set_lines(self, lines: Sequence[Line]) -> None:
        """Show these lines, the most important first."""
        self.lines = [drawable(line) for line in lines]
        self._redraw()

    def set_note(self, note: str) -> None:
        """A few words in the lower border: what is on show."""
        if note != self.note:
            self.note = note
            self._label_state()

    def set_empty(self, text: str) -> None:
        """What to say while there is no line."""
        if text != self._empty:
            self._empty = text
            self._redraw()

    def set_look(self, look: ChartStyle) -> None:
        """Show the same lines in another way."""
        if look != self.look:
            self.look = look
            self._redraw()

    def follow(self, other: ChartStyle) -> None:
        """Take over cursor, window and smoothing of a chart with the same x axis."""
        self.set_look(replace(self.look, cursor=other.cursor, window=other.window, smoothing=other.smoothing))

    # --- drawing

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, lambda _: self._redraw())

    def on_resize(self) -> None:
        self._redraw()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        if self.is_mounted:
            self._redraw()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        return self._strips[y] if y < len(self._strips) else Strip.blank(width, self.rich_style)

    def _redraw(self) -> None:
        """Compose the chart again and refresh the rows that changed."""
        width, height = self.size
        if width < 1 or height < 1:
            return
        before = self._strips
        if any(len(line.x) for line in self.lines):
            grid, self._frame = compose(self.lines, width, height, self.look)
            self._strips = self._to_strips(grid)
        else:
            self._strips = self._empty_strips(width, height)
        self._label_state()
        if len(before) != height:
            self.refresh()
            return
        changed = [y for y in range(height) if before[y] != self._strips[y]]
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def _empty_strips(self, width: int, height: int) -> list[Strip]:
        base = self.rich_style
        style = base + Style(color=self._mix(0.75).rich_color)
        texts = textwrap.wrap(self._empty, max(1, width - 2))[:height]
        lines = [Strip.blank(width, base) for _ in range(height)]
        for row, text in enumerate(texts, (height - len(texts)) // 2):
            lines[row] = Strip([Segment(text.center(width)[:width], style)], width)
        return lines

    def _label_state(self) -> None:
        state = [self.note] if self.note else []
        if self.look.log:
            state.append("log y")
        if self.look.smoothing:
            state.append(f"smooth {self.look.smoothing:g}")
        if self.look.window:
            state.append("zoomed, 0 resets")
        subtitle = " · ".join(state)
        if subtitle != (self.border_subtitle or ""):
            self.border_subtitle = subtitle

    def _mix(self, share: float) -> Color:
        _, _, background, color = self.colors
        return background.blend(color, share, 1.0)

    def _to_strips(self, grid: Grid) -> list[Strip]:
        styles = self._styles()
        strips = []
        for chars, numbers in zip(grid.chars, grid.styles, strict=True):
            cuts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), grid.width]
            text = "".join(chars.tolist())
            segments = [Segment(text[start:end], styles[numbers[start]]) for start, end in pairwise(cuts)]
            strips.append(Strip(segments, grid.width))
        return strips

    def _styles(self) -> list[Style]:
        """Styles by number, in the order that `compose` counts them."""
        base = self.rich_style
        background = self.background_colors[1]
        shares = (1.0, 0.75, 0.22, 0.45)
        styles = [base + Style(color=self._mix(share).rich_color) for share in shares]
        styles.append(styles[0] + Style(bold=True))
        palette = [Color.parse(color) for color in series_colors(self.app.current_theme.dark)]
        for line in self.lines:
            color = palette[line.slot % len(palette)]
            styles.append(base + Style(color=color.rich_color))
            styles.append(base + Style(color=background.blend(color, 0.35, 1.0).rich_color))
        assert len(styles) == FIRST_LINE + 2 * len(self.lines)
        return styles

    # --- what the user does

    def _set_user_look(self, look: ChartStyle) -> None:
        if look != self.look:
            self.set_look(look)
            self.post_message(self.LookChanged(self))

    def _window(self) -> tuple[float, float]:
        return self.look.window or full_range(self.lines)

    def action_cursor(self, direction: int) -> None:
        """To the next point in sight that is in another column; a hidden cursor appears in the middle."""
        x0, x1 = self._window()
        if self.look.cursor is None:
            self._set_user_look(replace(self.look, cursor=nearest_point(self.lines, (x0 + x1) / 2)))
            return
        here = nearest_point(self.lines, self.look.cursor)
        points = points_of(self.lines)
        columns = ((points - x0) / (x1 - x0) * max(1, self._frame.width)).astype(int)
        column = int((here - x0) / (x1 - x0) * max(1, self._frame.width))
        beyond = columns > column if direction > 0 else columns < column
        beyond |= (points - here) * direction > 0 if (columns == column).sum() < 3 else False
        found = points[beyond & (points >= x0) & (points <= x1)]
        if len(found):
            self._set_user_look(replace(self.look, cursor=float(found[0] if direction > 0 else found[-1])))

    def action_cursor_to(self, share: int) -> None:
        self._set_user_look(replace(self.look, cursor=nearest_point(self.lines, self._window()[share])))

    def action_cursor_to_best(self) -> None:
        """To the best value of the first line, in sight or not."""
        found = best_point(self.lines[0], self.better) if self.lines else None
        if found is not None:
            x0, x1 = self._window()
            self._set_user_look(
                replace(self.look, cursor=found, window=self.look.window if x0 <= found <= x1 else None)
            )

    def action_clear_cursor(self) -> None:
        if self.look.cursor is not None:
            self._set_user_look(replace(self.look, cursor=None))
        elif self.screen.maximized is self:
            self.screen.minimize()

    def action_zoom(self, factor: float, at: float | None = None) -> None:
        low, high = full_range(self.lines)
        x0, x1 = self._window()
        middle = at if at is not None else self.look.cursor if self.look.cursor is not None else (x0 + x1) / 2
        width = max((x1 - x0) * factor, (high - low) * CLOSEST_ZOOM)
        if width >= high - low:
            self._set_user_look(replace(self.look, window=None))
            return
        start = middle - (middle - x0) * width / (x1 - x0)
        self._show(start, width)

    def action_pan(self, share: float) -> None:
        x0, x1 = self._window()
        self._show(x0 + share * (x1 - x0), x1 - x0)

    def _show(self, start: float, width: float) -> None:
        low, high = full_range(self.lines)
        if width < high - low:
            start = max(low, min(start, high - width))
            self._set_user_look(replace(self.look, window=(start, start + width)))

    def action_reset(self) -> None:
        self._set_user_look(replace(self.look, window=None))

    def action_toggle_log(self) -> None:
        self._set_user_look(replace(self.look, log=not self.look.log))

    def action_smooth(self, direction: int) -> None:
        nearest = min(range(len(LEVELS)), key=lambda n: abs(LEVELS[n] - self.look.smoothing))
        self._set_user_look(replace(self.look, smoothing=LEVELS[max(0, min(len(LEVELS) - 1, nearest + direction))]))

    def action_toggle_full(self) -> None:
        if self.screen.maximized is self:
            self.screen.minimize()
        else:
            self.screen.maximize(self)

    def _x_of(self, event: events.MouseEvent) -> float | None:
        offset = event.get_content_offset(self)
        return None if offset is None or not self.lines else self._frame.x_at(offset.x)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._grabbed is not None:
            start, (x0, x1) = self._grabbed
            moved = (event.screen_x - start) / max(1, self._frame.width)
            self._show(x0 - moved * (x1 - x0), x1 - x0)
        elif (x := self._x_of(event)) is not None:
            self._set_user_look(replace(self.look, cursor=nearest_point(self.lines, x)))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        if self.lines:
            self._grabbed = (event.screen_x, self._window())
            self.capture_mouse()

    def on_mouse_up(self) -> None:
        self._grabbed = None
        self.release_mouse()

    def on_leave(self) -> None:
        if self._grabbed is None:
            self._set_user_look(replace(self.look, cursor=None))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_zoom(0.7, self._x_of(event))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_zoom(1 / 0.7, self._x_of(event))
