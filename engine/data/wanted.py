"""Reading folders as long as somebody waits for the result. Several readings in threads do not know of each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class NotWantedError(Exception):
    """The reading was given up: nobody waits for its result any more."""


_wanted: ContextVar[Callable[[], bool] | None] = ContextVar("wanted", default=None)


@contextmanager
def read_while(wanted: Callable[[], bool]) -> Iterator[None]:
    """What is read inside, in this thread, raises NotWantedError once `wanted` returns False."""
    before = _wanted.set(wanted)
    try:
        yield
    finally:
        _wanted.reset(before)


def go_on() -> None:
    """To be called between two entries of a folder. Raises NotWantedError."""
    wanted = _wanted.get()
    if wanted is not None and not wanted():
        raise NotWantedError
