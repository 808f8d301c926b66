"""`enter`: a query and one image of its gallery at full size, zoomed and moved together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from PIL import Image
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from handreid_tui.text.numbers import percent
from handreid_tui.ui.background import Latest
from handreid_tui.ui.key_bar import KeyBar
from handreid_tui.ui.keymap import named
from handreid_tui.ui.screens.retrieval.picture import Part, Pixels
from handreid_tui.ui.screens.retrieval.queries import Pair, Shot, short_identity
from handreid_tui.ui.screens.retrieval.tile import Drawing

STEP = 0.25  # of what is in sight, that a key moves


class Side(Container):
    """One of the two pictures in its frame, drawn by characters or by a widget of textual-image."""

    DEFAULT_CSS = """
    Side { border: round $primary; border-title-color: $foreground; border-subtitle-color: $secondary;
           width: 1fr; height: 1fr; align: center middle; overflow: hidden; }
    Side.right { border: round $success; border-title-color: $success; }
    Side.wrong { border: round $error; border-title-color: $error; }
    """

    def __init__(self, pixel_widget: type[Widget] | None, id: str) -> None:
        super().__init__(id=id)
        self._pixel_widget = pixel_widget

    def compose(self) -> ComposeResult:
        yield self._pixel_widget() if self._pixel_widget else Drawing()

    def show(self, shot: Shot, part: Part, title: str, kind: str = "") -> None:
        self.set_classes(kind)
        self.border_title = Content(title)
        self.border_subtitle = Content(short_identity(shot.identity, max(8, self.size.width - 4)))
        pixels = None if shot.pixels is None else part.of(shot.pixels)
        if self._pixel_widget is None:
            self.query_one(Drawing).show_pixels(pixels)
        else:
            if pixels is None:
                self.border_title = Content(f"{title} · not readable")
            self._show_real(self.query_one(self._pixel_widget), pixels)

    def _show_real(self, widget: Any, pixels: Pixels | None) -> None:
        """Let the side that is short of room decide the size, the other follows."""
        widget.image = None if pixels is None else Image.fromarray(pixels)
        if pixels is not None:
            wide = pixels.shape[1] / pixels.shape[0] > self.size.width / max(1, 2 * self.size.height)
            widget.styles.width, widget.styles.height = ("100%", "auto") if wide else ("auto", "100%")


class PairView(ModalScreen[int]):
    """Returns the place in the ranking of the image that it showed last."""

    BINDING_GROUP_TITLE = "Pair"
    BINDINGS: ClassVar[list[BindingType]] = named(
        "pair",
        [
            Binding("escape,enter,q", "close", "Close", key_display="esc"),
            Binding("right_square_bracket,n", "step(1)", "Next", key_display="]", tooltip="Next image of the ranking"),
            Binding("left_square_bracket,N", "step(-1)", "Previous", key_display="[", tooltip="Previous image"),
            Binding("m", "match", "Match", tooltip="The first true match"),
            Binding("plus,equals_sign", "zoom(0.5)", "Zoom", key_display="+-", tooltip="Zoom in, both pictures"),
            Binding("minus", "zoom(2)", "Zoom out", show=False),
            Binding("0", "reset", "Whole", tooltip="Show the whole pictures"),
            Binding("left,h", "pan(-1, 0)", "Left", show=False),
            Binding("right,l", "pan(1, 0)", "Right", show=False),
            Binding("up,k", "pan(0, -1)", "Up", show=False),
            Binding("down,j", "pan(0, 1)", "Down", show=False),
            Binding("y", "copy(False)", "Copy path", tooltip="Copy the path of the gallery image"),
            Binding("Y", "copy(True)", "Copy identity", show=False, tooltip="Copy the identity of the gallery image"),
            Binding("question_mark", "app.help", "Help", show=False),
        ],
    )
    DEFAULT_CSS = """
    PairView { background: $background; }
    PairView #line { height: auto; max-height: 2; padding: 0 2; }
    """

    def __init__(self, read: Callable[[int], Pair], at: int, pixel_widget: type[Widget] | None) -> None:
        """read: the pair with the image at a place of the ranking, 0 for the first true match; called in a thread."""
        super().__init__()
        self._pixel_widget = pixel_widget
        self._reader: Latest[int, Pair] = Latest(self, read, self._take, self._cannot)
        self._at = at
        self._pair: Pair | None = None
        self._part = Part()
        self._grabbed: tuple[int, int, Part] | None = None

    def compose(self) -> ComposeResult:
        yield Static("Loading …", id="line")
        with Horizontal():
            yield Side(self._pixel_widget, "query")
            yield Side(self._pixel_widget, "other")
        yield KeyBar()

    def on_mount(self) -> None:
        self._reader.ask(self._at)

    def _take(self, pair: Pair) -> None:
        self._pair, self._at = pair, pair.at
        self._draw()

    def _draw(self) -> None:
        if (pair := self._pair) is None:
            return
        query, other = self.query_one("#query", Side), self.query_one("#other", Side)
        query.show(pair.query, self._part, "photo" if pair.caption else "query")
        title = f"rank {pair.at} of {pair.of} · {pair.other.score:.3f}"
        if pair.caption:
            other.show(pair.other, self._part, title)
        else:
            sign, kind = ("✓", "right") if pair.other.match else ("✗", "wrong")
            other.show(pair.other, self._part, f"{sign} {title}", kind)
        found = f"first match at rank {pair.rank}, AP {percent(pair.ap)}" if pair.rank else "no match in the gallery"
        found = pair.caption or found
        zoom = f" · zoom {1 / self._part.share:.0f}×" if self._part.share < 1 else ""
        line = Content.assemble((found, "bold"), (f"{zoom} · {pair.query.name} and {pair.other.name}", "$secondary"))
        self.query_one("#line", Static).update(line)

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def _cannot(self, text: str) -> None:
        self.query_one("#line", Static).update(Content(text))

    # --- actions

    def action_close(self) -> None:
        self.dismiss(self._at)

    def action_step(self, step: int) -> None:
        self._at = max(1, self._at + step)
        self._reader.ask(self._at)

    def action_match(self) -> None:
        self._reader.ask(0)

    def _see(self, part: Part) -> None:
        if part != self._part:
            self._part = part
            self._draw()

    def action_zoom(self, factor: float) -> None:
        self._see(self._part.zoomed(factor))

    def action_pan(self, across: int, down: int) -> None:
        self._see(self._part.moved(across * STEP, down * STEP))

    def action_reset(self) -> None:
        self._see(Part())

    def action_copy(self, identity: bool) -> None:
        if self._pair:
            other = self._pair.other
            self.app.copy_to_clipboard(other.identity if identity else str(other.path))
            self.notify(f"Copied the {'identity' if identity else 'path'}.", timeout=4)

    def on_mouse_scroll_up(self) -> None:
        self.action_zoom(0.7)

    def on_mouse_scroll_down(self) -> None:
        self.action_zoom(1 / 0.7)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._grabbed = (event.screen_x, event.screen_y, self._part)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._grabbed:
            x, y, part = self._grabbed
            side = self.query_one("#query", Side).size
            self._see(part.moved((x - event.screen_x) / max(1, side.width), (y - event.screen_y) / max(1, side.height)))

    def on_mouse_up(self) -> None:
        self._grabbed = None
