"""The line at the bottom: the keys that matter here and now. One widget, drawn anew only when the keys change."""

from __future__ import annotations

from typing import Any

from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

from handreid_tui.ui.actions import keys_of

LAST = ("app.command_palette", "command_palette", "help", "quit")

Key = tuple[str, str, str]


class KeyBar(Widget):
    """As many keys as fit, those of the focused widget and the page first; help, palette and quit at the right."""

    DEFAULT_CSS = """
    KeyBar { dock: bottom; height: 1; background: $panel; color: $secondary; padding: 0 1;
             link-style: none; link-color: $secondary; link-background-hover: $panel;
             link-color-hover: $foreground; link-style-hover: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._keys: list[Key] = []
        self._ends: list[Key] = []

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._update)
        self._update(self.screen)

    def _update(self, screen: Screen[Any]) -> None:
        shown = {
            found.binding.action: (found.binding.key, keys_of(self.app, found.binding), found.binding.description)
            for found in screen.active_bindings.values()
            if (found.binding.show or found.binding.action in LAST) and found.enabled
        }
        ends = [shown.pop(action) for action in LAST if action in shown]
        if (list(shown.values()), ends) != (self._keys, self._ends):
            self._keys, self._ends = list(shown.values()), ends
            self.refresh()

    def render(self) -> Content:
        room = self.size.width - sum(len(key) + len(text) + 3 for _, key, text in self._ends)
        left: list[Content] = []
        for each in self._keys:
            width = len(each[1]) + len(each[2]) + 3
            if width > room:
                break
            room -= width
            left.append(_key(*each))
        return Content.assemble(*left, " " * max(0, room), *(_key(*each) for each in self._ends))


def _key(key: str, display: str, text: str) -> Content:
    markup = f"[bold $primary]$display[/] [@click=app.simulate_key('{key}')]$text[/]  "
    return Content.from_markup(markup, display=display, text=text)
