"""The trainer's log in the Live screen."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import RichLog

from handreid_tui.ui.keymap import named

TAIL = 128 << 10  # bytes of the log's end that are shown
LINES = 2000


class LogView(RichLog):
    """The last lines of a log."""

    BINDING_GROUP_TITLE = "Log"
    BINDINGS: ClassVar[list[BindingType]] = named(
        "log",
        [
            Binding("down,j", "scroll_down", "Down", show=False),
            Binding("up,k", "scroll_up", "Up", show=False),
            Binding("home,g", "scroll_home", "Start", show=False),
            Binding("end,G", "scroll_end", "End", show=False),
        ],
    )
    DEFAULT_CSS = """
    LogView { border: round $border-blurred; border-title-style: bold; border-title-color: $foreground;
              border-subtitle-color: $secondary; padding: 0 1; background: $background; color: $secondary;
              scrollbar-size-vertical: 1; }
    LogView:focus { border: round $border; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id, max_lines=LINES, wrap=True, auto_scroll=True, min_width=20)
        self.border_title = "Log"

    def start(self, title: str) -> None:
        """Show another run's log."""
        self.clear()
        self.border_subtitle = Content(title)

    def add(self, lines: list[str]) -> None:
        following = self.scroll_offset.y >= self.max_scroll_y - 1
        for line in lines[-LINES:]:
            self.write(Text(line), scroll_end=following)
