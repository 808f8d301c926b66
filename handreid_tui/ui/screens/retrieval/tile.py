"""One picture in a frame, with a word above and below."""

from __future__ import annotations

from rich.segment import Segment
from textual import events
from textual.content import Content
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from handreid_tui.ui.screens.retrieval.picture import Pixels, strips
from handreid_tui.ui.screens.retrieval.queries import Shot, short_identity
from handreid_tui.ui.terminal_colors import has_quadrants, terminal_colors

# The longest that there is room for is shown.
NO_COLOURS = ("pictures need a terminal with colours", "needs colours", "no colours")


class Drawing(Widget):
    """A picture as characters, in the middle of the room there is."""

    DEFAULT_CSS = """
    Drawing { width: 1fr; height: 1fr; }
    """

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._pixels: Pixels | None = None
        self._empty = ""
        self._strips: list[Strip] = []

    def show_pixels(self, pixels: Pixels | None, empty: str = "not readable") -> None:
        """pixels [H, W, 3]; without them `empty` stands in their place."""
        self._pixels, self._empty, self._strips = pixels, empty, []
        self.refresh()

    def on_resize(self) -> None:
        self._strips = []

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips = []

    def render_line(self, y: int) -> Strip:
        width, height = self.size
        if not self._strips and width and height:
            self._strips = self._draw(width, height)
        return self._strips[y] if y < len(self._strips) else Strip.blank(width, self.rich_style)

    def _draw(self, width: int, height: int) -> list[Strip]:
        base, colors = self.rich_style, terminal_colors(self.app)
        if self._pixels is None or colors is None:
            told = self._empty if self._pixels is None else next((t for t in NO_COLOURS if len(t) <= width), "")
            lines = [Strip.blank(width, base) for _ in range(height)]
            lines[height // 2] = Strip([Segment(told.center(width)[:width], base)], width)
            return lines
        return strips(self._pixels, width, height, base, colors, has_quadrants())


class Tile(Drawing):
    """A picture in a frame. A right answer has a green frame and a ✓, a wrong one a red frame and a ✗."""

    DEFAULT_CSS = """
    Tile { border: round $border-blurred; border-title-color: $foreground; border-subtitle-color: $secondary; }
    Tile.query { border: round $primary; }
    Tile.right { border: round $success; border-title-color: $success; }
    Tile.wrong { border: round $error; border-title-color: $error; }
    Tile.chosen { border: heavy $primary; border-title-style: bold reverse; }
    Tile.chosen.right { border: heavy $success; }
    Tile.chosen.wrong { border: heavy $error; }
    Tile.none { visibility: hidden; }
    """

    class Opened(Message):
        """The picture is to be seen at full size."""

        def __init__(self, tile: Tile) -> None:
            super().__init__()
            self.tile = tile

    def __init__(self, classes: str = "none", id: str | None = None) -> None:
        super().__init__(classes=classes, id=id)
        self._identity = ""

    def show(self, shot: Shot | None, title: str, kind: str, identity: str = "", chosen: bool = False) -> None:
        """`kind`: query, right, wrong or none. `identity`: as it is to be written. chosen: under the cursor."""
        self._identity = identity
        self.set_classes(f"{kind} chosen" if chosen else kind)
        self.border_title = Content(title)
        self._label()
        self.tooltip = Content(shot.name) if shot else None
        self.show_pixels(shot.pixels if shot else None, "not readable" if shot else "")

    def _label(self) -> None:
        """The identity below the picture, cut where the whole does not fit."""
        room = self.size.width - 4 if self.size.width else len(self._identity)
        self.border_subtitle = Content(short_identity(self._identity, room) if self._identity else "")

    def on_resize(self) -> None:
        super().on_resize()
        self._label()

    def on_click(self, event: events.Click) -> None:
        if not self.has_class("none"):
            event.stop()
            self.post_message(self.Opened(self))
