"""What colours the terminal has, and whether its font has the finer block characters."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import cache
from typing import Any

from textual.app import App


def terminal_colors(app: App[Any]) -> str | None:
    """truecolor, 256, or standard (16 colours), as Rich names them; None for a terminal without colours."""
    if app.is_headless:
        return "truecolor"
    system = app.console.color_system
    return None if system == "standard" and _without_colors(os.environ.get("TERM", "")) else system


def has_quadrants() -> bool:
    """Whether there are blocks of a quarter of a cell: the fonts of the Linux console have halves only."""
    return os.environ.get("TERM") != "linux"


@cache
def _without_colors(term: str) -> bool:
    """Whether terminfo knows this terminal and no colours of it, such as vt100. Rich takes these for 16 colours."""
    with suppress(ImportError):
        import curses

        with suppress(curses.error, OSError, ValueError, AttributeError):
            curses.setupterm(term, sys.__stderr__.fileno() if sys.__stderr__ else -1)
            return curses.tigetnum("colors") <= 0
    return False
