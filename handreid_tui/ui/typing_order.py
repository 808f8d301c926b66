"""Keys take effect in the order in which they were typed, however busy the machine is.

Textual gives a key to the focused widget, and to the bindings only when that widget and its parents have left it alone.
A character typed after Tab, or after a key that opens a dialog, would overtake it and reach the wrong field. Here the
next key waits until the one before has gone its whole way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import Any

from textual import events
from textual.app import App, ScreenStackError
from textual.dom import DOMNode
from textual.screen import Screen

LONGEST = 2.0  # seconds that a key may hold up the next one


class TypingOrder:
    """The keys of an app that wait. A mark travels behind each key, through the same queues."""

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        self._waiting: deque[events.Key] = deque()
        self._travels = False
        self._number = 0
        self._late: asyncio.TimerHandle | None = None

    def holds(self, key: events.Key) -> bool:
        """Whether this key has to wait for an earlier one; it is then handled later."""
        if self._travels:
            self._waiting.append(key)
            return True
        self._travels = True
        return False

    def follow(self, target: DOMNode, screen: Screen[Any]) -> None:
        """A key was given to `target`, on `screen`: wait until it has gone its way to the app."""
        self._number += 1
        arrived = partial(self._arrived, self._number, screen)
        self._late = asyncio.get_running_loop().call_later(LONGEST, arrived)
        self._mark(target, arrived)

    def _mark(self, node: DOMNode | None, arrived: Any) -> None:
        if node is None or node is self._app or not node.call_later(lambda: self._mark(node.parent, arrived)):
            self._app.call_later(arrived)

    def _arrived(self, number: int, before: Screen[Any]) -> None:
        if number != self._number or not self._travels:
            return  # it came late, and was not waited for
        if self._late:
            self._late.cancel()
        try:
            screen = self._app.screen
        except ScreenStackError:  # the app ends
            return
        if screen is before:
            self._app.call_later(self._next, number)
        else:  # the key opened it: its first field takes the next one
            screen.call_after_refresh(lambda: self._app.call_later(self._next, number))

    async def _next(self, number: int) -> None:
        if number == self._number and self._travels:
            self._travels = False
            if self._waiting:
                await self._app.on_event(self._waiting.popleft())
