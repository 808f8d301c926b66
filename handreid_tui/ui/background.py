"""Work in a thread, of which only the latest request matters."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from textual.dom import DOMNode

from engine.contract.errors import UserError
from engine.data.wanted import NotWantedError, read_while
from handreid_tui.text.manager_log import log_bug

Request = TypeVar("Request")
Result = TypeVar("Result")


class Latest(Generic[Request, Result]):
    """Calls `work` in a thread and `done` with its result in the event loop; never two at once.

    Of the requests that come while it works, the last is worked on next and the others are dropped. A UserError goes to
    `failed` as its sentence. `gives_up`: work that reads folders stops where another request comes.
    """

    def __init__(
        self,
        node: DOMNode,
        work: Callable[[Request], Result],
        done: Callable[[Result], object],
        failed: Callable[[str], object],
        *,
        gives_up: bool = False,
    ) -> None:
        self._node, self._work, self._done, self._failed = node, work, done, failed
        self._gives_up, self._given_up = gives_up, threading.Event()
        self._busy = False
        self._next: list[Request] = []

    def ask(self, request: Request) -> None:
        """To be called in the event loop."""
        if self._gives_up:
            self.give_up()
        self._next = [request]
        if not self._busy:
            self._start()

    def give_up(self) -> None:
        """Nobody waits for the current work, nor for what was to come next."""
        self._given_up.set()
        self._next = []

    def _start(self) -> None:
        self._busy = True
        self._given_up = threading.Event()
        request = self._next.pop()
        threading.Thread(target=self._run, args=(request, self._given_up), daemon=True).start()

    def _run(self, request: Request, given_up: threading.Event) -> None:
        try:
            with read_while(lambda: not given_up.is_set()):
                result = self._work(request)
        except NotWantedError:
            self._back(lambda: None)
        except UserError as error:
            self._back(partial(self._failed, str(error)))
        except Exception as error:  # a directory deleted while it is read, a damaged file: the UI stays up
            log_bug(f"work of {type(self._node).__name__}")
            self._back(partial(self._failed, f"It cannot be read: {error or type(error).__name__}."))
        else:
            self._back(partial(self._done, result))

    def _back(self, call: Callable[[], object]) -> None:
        def finish() -> None:
            self._busy = False
            if self._node.is_attached:
                if not self._given_up.is_set():
                    call()
                if self._next and not self._busy:
                    self._start()

        if self._node.is_running:
            self._node.app.call_later(finish)
