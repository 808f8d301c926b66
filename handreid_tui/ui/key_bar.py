"""The line at the bottom: the keys that matter here and now. One widget, drawn anew only when the keys change."""

from __future__ import annotations

from typing import Any

from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

from handreid_tui.ui.actions import keys_of

LAST = ("app.command_palette", "command_palette", "help", "quit")
OBVIOUS = ("up", "down", "home", "end", "pageup", "pagedown")
LONGEST = 14  # characters of what a key does, that there may be room for

Key = tuple[str, str, str]


class KeyBar(Widget):
    """As many keys as fit: the usual ones first, then others of the focused widget and the page; help and quit last."""

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
        shown: dict[str, Key] = {}
        more: dict[str, Key] = {}
        left_out: set[str] = set()
        for found in screen.active_bindings.values():  # one for each key; the first key of an action is shown
            binding = found.binding
            key = (binding.key, keys_of(self.app, binding), binding.description)
            if not found.enabled or not binding.description or binding.action in left_out:
                continue
            if binding.action in LAST:
                shown[binding.action] = key
            elif binding.show:
                shown.setdefault(binding.action, key)
            elif binding.key in OBVIOUS or not binding.tooltip or (binding.id or "app.").startswith("app."):
                left_out.add(binding.action)
            elif len(binding.description) <= LONGEST:
                more.setdefault(binding.action, key)
        ends = [shown.pop(action) for action in LAST if action in shown]
        keys = [*shown.values(), *(key for action, key in more.items() if action not in shown)]
        if (keys, ends) != (self._keys, self._ends):
            self._keys, self._ends = keys, ends
            self.refresh()

    def render(self) -> Content:
        room = self.size.width - sum(len(key) + len(text) + 3 for _, key, text in self._ends)
        left: list[Content] = []
        for each in self._keys:
            width = len(each[1]) + len(each[2]) + 3
            if width <= room:
                room -= width
                left.append(_key(*each))
        return Content.assemble(*left, " " * max(0, room), *(_key(*each) for each in self._ends))


def _key(key: str, display: str, text: str) -> Content:
    markup = f"[bold $primary]$display[/] [@click=app.simulate_key('{key}')]$text[/]  "
    return Content.from_markup(markup, display=display, text=text)
