"""`?`: the keys of the screen below, made from its bindings."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from handreid_tui.ui.actions import groups, keys_of


class Help(ModalScreen[None]):
    """Every key of a screen, by the place where it works."""

    BINDING_GROUP_TITLE = "Help"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,f1", "dismiss", "Close", key_display="esc"),
        Binding("down,j", "scroll(3)", "Down", show=False),
        Binding("up,k", "scroll(-3)", "Up", show=False),
    ]
    DEFAULT_CSS = """
    Help { align: center middle; background: $background 60%; }
    Help > VerticalScroll {
        width: 84; max-width: 96%; height: auto; max-height: 92%; padding: 1 2;
        background: $surface; border: round $border; border-title-style: bold; border-title-color: $foreground;
        border-subtitle-color: $secondary;
    }
    Help Static { height: auto; }
    """

    def __init__(self, below: Screen[Any]) -> None:
        super().__init__()
        self._below = below

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = "Keys"
            box.border_subtitle = "esc closes"
            yield Static(self._text())

    def _text(self) -> Content:
        lines: list[Content] = []
        for group in groups(self._below):
            lines.append(Content.from_markup("[bold $primary]$title[/]", title=group.title))
            for binding in group.bindings:
                keys = keys_of(self.app, binding)
                text = binding.tooltip or binding.description
                lines.append(Content.from_markup("  [bold]$keys[/]$text", keys=keys.ljust(16), text=text))
            lines.append(Content(""))
        lines.append(Content.from_markup("[$secondary]tab moves between panels, ctrl+p finds every action by name[/]"))
        return Content("\n").join(lines)

    def action_scroll(self, rows: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=rows, animate=False)
