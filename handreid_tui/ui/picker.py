"""One of a few values, on one line: `(•) quasi-random  ( ) bayes`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from handreid_tui.ui.keymap import named


class Picker(Widget, can_focus=True):
    """Arrow keys, space or a click choose. `off`: by value, why it cannot be chosen; that is shown behind it."""

    BINDING_GROUP_TITLE = "Choice of one"
    BINDINGS: ClassVar[list[BindingType]] = named(
        "picker",
        [
            Binding("right,l,space", "turn(1)", "Next value", show=False, tooltip="Choose the next value"),
            Binding("left,h", "turn(-1)", "Previous value", show=False, tooltip="Choose the previous value"),
        ],
    )
    DEFAULT_CSS = """
    Picker { width: 1fr; height: auto; color: $foreground; }
    Picker:focus { background: $panel; }
    """

    class Changed(Message):
        """Another value is chosen."""

    def __init__(self, name: str, texts: Mapping[str, str], off: Mapping[str, str] | None = None) -> None:
        """texts: the values, each as it is shown; the first is chosen."""
        super().__init__(name=name)
        self._texts, self._off = texts, off or {}
        self.value = next(iter(texts))

    def render(self) -> Content:
        parts: list[tuple[str, str] | str] = []
        for value, text in self._texts.items():
            reason = self._off.get(value, "")
            mark = "(•)" if value == self.value else "(-)" if reason else "( )"
            style = "bold" if value == self.value else "$secondary" if reason else "$foreground"
            parts += [(f"{mark} {text}{f': {reason}' if reason else ''}", style), "  "]
        return Content.assemble(*parts[:-1])

    def choose(self, value: str) -> None:
        if value != self.value and value not in self._off:
            self.value = value
            self.refresh(layout=True)
            self.post_message(self.Changed())

    def action_turn(self, step: int) -> None:
        values = [value for value in self._texts if value not in self._off]
        self.choose(values[(values.index(self.value) + step) % len(values)])

    def on_click(self) -> None:
        self.action_turn(1)
