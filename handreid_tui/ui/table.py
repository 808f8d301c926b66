"""A table of many rows on the Line API: only rows in sight are made, so a thousand cost what twenty do."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from handreid_tui.ui.keymap import named

Key = TypeVar("Key", bound=Hashable)
Cell = str | tuple[str, str]
"""Text, or text and style: names of theme colours without `$`, and bold, dim, underline."""


@dataclass(frozen=True)
class Column:
    """`width` in cells; `rest`: takes what is left over. Where room is short, the highest `drop` goes first."""

    id: str
    title: str
    width: int
    right: bool = False
    drop: int = 0
    rest: bool = False


class RowTable(ScrollView, Generic[Key], can_focus=True):
    """Rows with a cursor. `cells(key)` makes the cells of a row when it comes into sight."""

    BINDING_GROUP_TITLE = "Table"
    BINDINGS: ClassVar[list[BindingType]] = named(
        "table",
        [
            Binding("down,j", "move(1)", "Next row", show=False),
            Binding("up,k", "move(-1)", "Previous row", show=False),
            Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False),
            Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False),
            Binding("home,g", "to(0)", "First row", show=False),
            Binding("end,G", "to(-1)", "Last row", show=False),
        ],
    )
    DEFAULT_CSS = """
    RowTable { border: round $border-blurred; border-title-style: bold; border-title-color: $foreground;
               border-subtitle-color: $secondary; padding: 0 1; scrollbar-size-vertical: 1;
               scrollbar-size-horizontal: 0; overflow-x: hidden; overflow-y: auto; }
    RowTable:focus { border: round $border; }
    """

    class News(Message):
        """Something of a table."""

        def __init__(self, table: RowTable[Any]) -> None:
            super().__init__()
            self.table = table

        @property
        def control(self) -> RowTable[Any]:
            return self.table

    class Highlighted(News):
        """The cursor is on another row."""

    class Opened(News):
        """A row was clicked twice."""

    class HeaderClicked(News):
        """The header of a column was clicked."""

        def __init__(self, table: RowTable[Any], column: str) -> None:
            super().__init__(table)
            self.column = column

    class CellClicked(News):
        """A row was clicked, in this column."""

        def __init__(self, table: RowTable[Any], column: str) -> None:
            super().__init__(table)
            self.column = column

    def __init__(
        self,
        columns: Sequence[Column],
        cells: Callable[[Key], Sequence[Cell]],
        *,
        title: str = "",
        empty: str = "",
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self.border_title = title
        self._columns = tuple(columns)
        self._cells = cells
        self._empty = empty
        self._keys: list[Key] = []
        self._cursor = 0
        self._sorted: tuple[str, bool] | None = None
        self._cache: dict[tuple[Key, bool], Strip] = {}
        self._width = 0  # that the rows in the cache were made for
        self._word = ""

    # --- what it shows

    @property
    def keys(self) -> list[Key]:
        return self._keys

    @property
    def current(self) -> Key | None:
        """The key of the row under the cursor."""
        return self._keys[self._cursor] if self._cursor < len(self._keys) else None

    def show(self, keys: list[Key], changed: frozenset[Key] | None = None, current: Key | None = None) -> None:
        """Show these rows; `changed`: those whose cells differ, None for all. The cursor stays on its row."""
        before = self.current if current is None else current
        if changed is None:
            self._cache.clear()
        else:
            self._cache = {at: strip for at, strip in self._cache.items() if at[0] not in changed}
        moved = keys != self._keys
        self._keys = keys
        if before is not None and (self._cursor >= len(keys) or keys[self._cursor] != before):
            self._cursor = keys.index(before) if before in keys else min(self._cursor, max(0, len(keys) - 1))
        self.virtual_size = Size(0, len(keys) + 1)
        if moved or changed is None:
            self.refresh()
            self.call_after_refresh(self._keep_in_sight)
        else:
            for key in changed:
                self._refresh_row(key)
        if self.current != before or moved:
            self.post_message(self.Highlighted(self))
        self._label()

    def set_word(self, text: str) -> None:
        """A word on all rows, below them; the table itself adds how many are out of sight."""
        self._word = text
        self._label()

    def _label(self) -> None:
        above = self.scroll_offset.y
        below = max(0, len(self._keys) - above - self._rows) if self.size.height else 0
        places = [f"{count} more {place}" for count, place in ((above, "above"), (below, "below")) if count]
        told = " · ".join(filter(None, (self._word, ", ".join(places))))
        if told != (self.border_subtitle or ""):
            self.border_subtitle = told

    def set_columns(self, columns: Sequence[Column]) -> None:
        self._columns = tuple(columns)
        self._cache.clear()
        self.refresh()

    def set_empty(self, text: str) -> None:
        if text != self._empty:
            self._empty = text
            self.refresh()

    def set_sorted(self, column: str, descending: bool) -> None:
        """Say in the header what the rows are sorted by."""
        self._sorted = (column, descending)
        self.refresh()

    def columns_in_sight(self) -> list[tuple[Column, int]]:
        """The columns that fit, with their widths."""
        room = self.scrollable_content_region.width
        left, fitting = room + 2, set()
        for column in sorted(self._columns, key=lambda column: column.drop):
            if column.width + 2 <= left or column.drop == 0:
                fitting.add(column.id)
                left -= column.width + 2
        shown = [column for column in self._columns if column.id in fitting]
        return [(c, c.width + (max(0, left) if c.rest else 0)) for c in shown]

    # --- drawing

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._cache.clear()

    def on_resize(self) -> None:
        self._keep_in_sight()
        self._label()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._label()

    @property
    def _rows(self) -> int:
        """How many rows there is room for, below the header."""
        return max(1, self.scrollable_content_region.height - 1)

    def on_focus(self) -> None:
        self._refresh_current()

    def on_blur(self) -> None:
        self._refresh_current()

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        if width != self._width:  # also where a scrollbar came or went
            self._width = width
            self._cache.clear()
        if y == 0:
            return self._header(width)
        row = y - 1 + self.scroll_offset.y
        if not self._keys:
            lines = textwrap.wrap(self._empty, max(1, width - 2))
            place = y - max(1, (self.scrollable_content_region.height - len(lines) + 1) // 2)
            text = lines[place].center(width) if 0 <= place < len(lines) else ""
            return Strip([Segment(text, self._style("secondary"))]).adjust_cell_length(width, self.rich_style)
        if row >= len(self._keys):
            return Strip.blank(width, self.rich_style)
        at = (self._keys[row], row == self._cursor)
        if at not in self._cache:
            self._cache[at] = self._row(self._keys[row], row == self._cursor, width)
        return self._cache[at]

    def _header(self, width: int) -> Strip:
        segments, style = [], self._style("secondary")
        for number, (column, size) in enumerate(self.columns_in_sight()):
            text, own = column.title, style
            if self._sorted and self._sorted[0] == column.id:
                text, own = f"{text}{'▼' if self._sorted[1] else '▲'}", self._style("primary bold")
            gap = "  " if number else ""
            segments += [Segment(gap, style), Segment(_fit(text, size, column.right), own)]
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def _row(self, key: Key, under_cursor: bool, width: int) -> Strip:
        background = ""
        if under_cursor:
            background = "block-cursor-background" if self.has_focus else "block-cursor-blurred-background"
        cells = dict(zip((column.id for column in self._columns), self._cells(key), strict=True))
        segments = []
        for number, (column, size) in enumerate(self.columns_in_sight()):
            cell = cells[column.id]
            text, style = cell if isinstance(cell, tuple) else (cell, "foreground")
            gap = "  " if number else ""
            segments += [
                Segment(gap, self._style("", background)),
                Segment(_fit(text, size, column.right), self._style(style, background)),
            ]
        return Strip(segments).adjust_cell_length(width, self._style("", background))

    def _style(self, words: str, background: str = "") -> Style:
        variables = self.app.theme_variables
        style = self.rich_style
        if background:
            style += Style(bgcolor=variables.get(background, variables["panel"]))
        for word in words.split():
            if word in ("bold", "dim", "underline", "italic", "strike"):
                style += Style.parse(word)
            elif word.startswith("#"):
                style += Style(color=word)
            else:
                style += Style(color=variables.get(word, variables["foreground"]))
        return style

    # --- moving

    def _refresh_row(self, key: Key) -> None:
        if key in self._keys:
            y = self._keys.index(key) + 1 - self.scroll_offset.y
            if 1 <= y < self.size.height:
                self.refresh(Region(0, y, self.size.width, 1))

    def _refresh_current(self) -> None:
        if (key := self.current) is not None:
            self._cache.pop((key, True), None)
            self._refresh_row(key)

    def move_to(self, row: int) -> None:
        """Put the cursor on a row, and that row in sight."""
        row = max(0, min(len(self._keys) - 1, row))
        if row == self._cursor or not self._keys:
            return
        before, self._cursor = self.current, row
        if before is not None:
            self._refresh_row(before)
        self._refresh_current()
        self._keep_in_sight()
        self.post_message(self.Highlighted(self))

    def _keep_in_sight(self) -> None:
        rows, top = self._rows, self.scroll_offset.y
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False)
        elif self._cursor >= top + rows:
            self.scroll_to(y=self._cursor - rows + 1, animate=False)

    def action_move(self, rows: int) -> None:
        self.move_to(self._cursor + rows)

    def action_page(self, pages: int) -> None:
        self.move_to(self._cursor + pages * max(1, self.size.height - 2))

    def action_to(self, row: int) -> None:
        self.move_to(row if row >= 0 else len(self._keys) - 1)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        column = self._column_at(offset.x)
        if offset.y == 0:
            if column:
                self.post_message(self.HeaderClicked(self, column))
        elif offset.y - 1 + self.scroll_offset.y < len(self._keys):
            self.move_to(offset.y - 1 + self.scroll_offset.y)
            if column:
                self.post_message(self.CellClicked(self, column))
            if event.chain == 2:
                self.post_message(self.Opened(self))

    def _column_at(self, x: int) -> str:
        at = 0
        for column, size in self.columns_in_sight():
            if at <= x < at + size + 2:
                return column.id
            at += size + 2
        return ""


def _fit(text: str, width: int, right: bool) -> str:
    text = text.replace("\n", " ")
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…" if width > 1 else set_cell_size(text, width)
    return " " * (width - length) + text if right else text + " " * (width - length)
