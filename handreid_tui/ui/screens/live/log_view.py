"""The trainer's log: the end of trainer.log, read in a thread, followed while it grows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import RichLog

from handreid_tui.runs.safe_files import open_file

TAIL = 128 << 10
LINES = 2000


class LogReader:
    """Reads what is new in a log file. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset: int | None = None
        self._rest = b""

    def read(self) -> list[str]:
        """The new complete lines; at first the last part of the file. Nothing where there is no file."""
        file = open_file(self.path)
        if file is None:
            return []
        try:
            size = os.fstat(file).st_size
            start = max(0, size - TAIL) if self._offset is None or self._offset > size else self._offset
            block = os.pread(file, min(size - start, 4 * TAIL), start)
        except OSError:
            return []
        finally:
            os.close(file)
        self._offset = start + len(block)
        lines = (self._rest + block).decode(errors="replace").split("\n")
        self._rest = lines.pop().encode()[-TAIL:]
        if start and len(block) == TAIL and lines:
            lines = lines[1:]  # the first one is cut
        return [line.rsplit("\r", 1)[-1] for line in lines[-LINES:]]


class LogView(RichLog):
    """Lines of a log, with their colours."""

    BINDING_GROUP_TITLE = "Log"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll_down", "Down", show=False),
        Binding("up,k", "scroll_up", "Up", show=False),
        Binding("home,g", "scroll_home", "Start", show=False),
        Binding("end,G", "scroll_end", "End", show=False),
    ]
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
        self.border_subtitle = title

    def add(self, lines: list[str]) -> None:
        following = self.scroll_offset.y >= self.max_scroll_y - 1
        for line in lines:
            self.write(Text.from_ansi(line), scroll_end=following)
