"""One picture in a frame, with a word above and below."""

from __future__ import annotations

from rich.segment import Segment
from textual.content import Content
from textual.strip import Strip
from textual.widget import Widget

from handreid_tui.ui.screens.retrieval.picture import strips
from handreid_tui.ui.screens.retrieval.queries import Shot


class Tile(Widget):
    """A picture. A right answer has a green frame and a ✓, a wrong one a red frame and a ✗."""

    DEFAULT_CSS = """
    Tile { border: round $border-blurred; border-title-color: $foreground; border-subtitle-color: $secondary;
           width: 1fr; height: 1fr; }
    Tile.query { border: round $primary; }
    Tile.right { border: round $success; border-title-color: $success; }
    Tile.wrong { border: round $error; border-title-color: $error; }
    Tile.none { visibility: hidden; }
    """

    def __init__(self, classes: str = "none", id: str | None = None) -> None:
        super().__init__(classes=classes, id=id)
        self._shot: Shot | None = None
        self._strips: list[Strip] = []
        self._identity = ""

    def show(self, shot: Shot | None, title: str, kind: str, identity: str = "") -> None:
        """`kind`: query, right, wrong or none. `identity`: as it is to be written."""
        self._shot, self._strips, self._identity = shot, [], identity
        self.set_classes(kind)
        self.border_title = Content(title)
        self._label()
        self.tooltip = Content(shot.name) if shot else None
        self.refresh()

    def _label(self) -> None:
        """The identity below the picture: its last part where the whole does not fit."""
        name = self._identity
        if self.size.width and len(f"id {name}") > self.size.width - 4:
            name = name.rpartition("/")[2]
        self.border_subtitle = Content(f"id {name}" if name else "")

    def on_resize(self) -> None:
        self._strips = []
        self._label()

    def render_line(self, y: int) -> Strip:
        width, height = self.size
        if not self._strips:
            self._strips = self._draw(width, height)
        return self._strips[y] if y < len(self._strips) else Strip.blank(width, self.rich_style)

    def _draw(self, width: int, height: int) -> list[Strip]:
        base = self.rich_style
        if self._shot is None or width < 1 or height < 1:
            return []
        if self._shot.pixels is None:
            lines = [Strip.blank(width, base) for _ in range(height)]
            lines[height // 2] = Strip([Segment("not readable".center(width)[:width], base)], width)
            return lines
        return strips(self._shot.pixels, width, height, base)
