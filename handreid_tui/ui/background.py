"""Work in a thread, of which only the latest request matters."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from textual.dom import DOMNode

from engine.contract.errors import UserError
from handreid_tui.text.manager_log import log_bug

Request = TypeVar("Request")
Result = TypeVar("Result")


class Latest(Generic[Request, Result]):
    """Calls `work` in a thread and `done` with its result in the event loop; never two at once.

    Of the requests that come while it works, the last is worked on next and the others are dropped. A UserError goes to
    `failed` as its sentence.
    """

    def __init__(
        self,
        node: DOMNode,
        work: Callable[[Request], Result],
        done: Callable[[Result], object],
        failed: Callable[[str], object],
    ) -> None:
        self._node, self._work, self._done, self._failed = node, work, done, failed
        self._busy = False
        self._next: list[Request] = []

    def ask(self, request: Request) -> None:
        """To be called in the event loop."""
        self._next = [request]
        if not self._busy:
            self._start()

    def _start(self) -> None:
        self._busy = True
        request = self._next.pop()
        threading.Thread(target=self._run, args=(request,), daemon=True).start()

    def _run(self, request: Request) -> None:
        try:
            result = self._work(request)
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
                call()
                if self._next and not self._busy:
                    self._start()

        if self._node.is_running:
            self._node.app.call_later(finish)
