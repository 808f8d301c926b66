"""A request to stop: SIGTERM or SIGINT sets a flag that the loop looks at after each step."""

from __future__ import annotations

import signal
from types import FrameType


class StopRequest:
    requested = False

    def listen(self) -> None:
        """Take the signals. The first asks for a clean stop; what kills is up to whoever sends."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._take)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
