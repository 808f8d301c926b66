"""Whether there is a terminal for the terminal UI. No Textual here: the answer comes at once."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from engine.contract.errors import UserError
from handreid_tui.text.streams import ERRORS


def check_terminal() -> None:
    """Prepare the terminal for the UI. Raises UserError where there is none that could show it."""
    if os.environ.get("TEXTUAL_DRIVER"):  # a browser is the terminal: `handreid serve`
        return
    streams = {"input": sys.__stdin__, "output": sys.__stdout__, "error output": sys.__stderr__}
    missing = next((name for name, stream in streams.items() if stream is None or not _is_terminal(stream)), "")
    other = "Use a command such as `handreid runs` (see `handreid --help`), or `ssh -t` for a terminal over ssh."
    if missing:
        raise UserError(f"The terminal UI needs a terminal, but its standard {missing} is not one. {other}")
    if os.environ.get("TERM") in (None, "", "dumb", "unknown"):
        raise UserError(
            f"The terminal UI cannot be shown: TERM is {os.environ.get('TERM') or 'not set'!r}. "
            "Set it to your terminal's type, such as xterm-256color."
        )
    if isinstance(sys.__stderr__, io.TextIOWrapper):
        # Textual draws there, and a locale without UTF-8 mostly belongs to a terminal with it.
        sys.__stderr__.reconfigure(encoding="utf-8", errors=ERRORS)


@contextmanager
def messages_kept_out() -> Iterator[None]:
    """Standard error belongs to Textual, which draws there: what C libraries such as libtiff print on it is dropped."""
    python = sys.__stderr__
    if python is None or python.closed:
        yield
        return
    python.flush()
    number = python.fileno()
    drawn = os.dup(number)
    sys.__stderr__ = open(drawn, "w", encoding="utf-8", errors=ERRORS)  # type: ignore[misc]  # noqa: PTH123, SIM115
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), number)
    try:
        yield
    finally:
        sys.__stderr__.flush()
        os.dup2(drawn, number)
        sys.__stderr__.close()
        sys.__stderr__ = python  # type: ignore[misc]


def _is_terminal(stream: io.TextIOBase) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False
