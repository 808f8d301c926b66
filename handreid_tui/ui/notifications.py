"""Words to the user when runs end, on whatever page he is."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from handreid_tui.text import run_text
from handreid_tui.ui.history_feed import ACTIVE

if TYPE_CHECKING:
    from handreid_tui.history import RunRow

Severity = Literal["information", "warning", "error"]
TOLD: dict[str, Severity] = {"failed": "error", "lost": "warning", "finished": "information"}
REASON = 140  # characters of a reason


class Endings:
    """Collects the runs that ended while the program goes on. `expected`: those that were stopped here."""

    def __init__(self) -> None:
        self.expected: set[int] = set()
        self._since = time.time()
        self._ended: dict[int, RunRow] = {}

    def note(self, before: Mapping[int, RunRow], now: Mapping[int, RunRow], changed: frozenset[int]) -> bool:
        """Take in what changed; whether there is something to tell."""
        for number in changed & now.keys():
            run, earlier = now[number], before.get(number)
            if number in self._ended:
                self._ended[number] = run  # with what has been read since: its results may come after its end
            went_on = earlier.status in ACTIVE if earlier else (run.ended or 0.0) > self._since
            if run.status in ACTIVE or not went_on:
                continue
            if run.status in TOLD and number not in self.expected:
                self._ended[number] = run
            self.expected.discard(number)
        return bool(self._ended)

    def tell(self) -> list[tuple[str, Severity]]:
        """A sentence for each way to end, with its severity."""
        ended, self._ended = self._ended, {}
        by_status = {status: [run for run in ended.values() if run.status == status] for status in TOLD}
        return [(_sentence(status, runs), TOLD[status]) for status, runs in reversed(by_status.items()) if runs]


def _sentence(status: str, runs: Sequence[RunRow]) -> str:
    verb = "is lost" if status == "lost" and len(runs) == 1 else "are lost" if status == "lost" else status
    if len(runs) > 1:
        return f"{len(runs)} runs {verb}: {', '.join(map(run_text.naming, runs[:5]))}{', …' if len(runs) > 5 else ''}."
    detail = runs[0].reason if status != "finished" else run_text.results(runs[0])
    if len(detail) > REASON:
        detail = f"{detail[: REASON - 1]}…"
    return f"Run {run_text.naming(runs[0])} {verb}{f': {detail}' if detail else '.'}"


def in_two_lines(text: str, width: int) -> str:
    """The text with what two lines of this width have no room for cut."""
    return "\n".join(textwrap.wrap(text, max(8, width), max_lines=2, placeholder=" …"))
