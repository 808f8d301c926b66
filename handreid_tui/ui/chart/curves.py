"""Curves as the charts need them: read once, then only what is new, thinned when they grow long. For threads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from handreid_tui.ui.chart.raster import Floats
from handreid_tui.ui.chart.thin import thin

if TYPE_CHECKING:
    from handreid_tui.history import RunRow

BUCKETS = 2048  # more than a wide terminal has dot columns, so that a first zoom stays sharp
KEPT = 400  # curves; the oldest go first

Points = tuple[Floats, Floats]


class Curves:
    """Curves by run and key. One lock: several workers may ask at once."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, str], Points] = {}
        self._attempts: dict[int, float | None] = {}
        self._weights: dict[int, dict[str, float]] = {}
        self._lock = threading.Lock()

    def read(self, history: Any, run: RunRow, keys: list[str]) -> dict[str, Points]:
        """The curves `keys` of a run, x in steps; without those that it does not have."""
        with self._lock:
            if self._attempts.get(run.number, run.started) != run.started:  # resumed: steps may have been taken back
                self._found = {key: points for key, points in self._found.items() if key[0] != run.number}
            self._attempts[run.number] = run.started
            curves = {key: self._read(history, run.number, key) for key in keys}
        return {key: points for key, points in curves.items() if len(points[0])}

    def close_up(self, history: Any, run: RunRow, key: str, x0: float, x1: float) -> Points:
        """The part of a curve between the steps x0 and x1, thinned for that part alone."""
        from handreid_tui.history import curve

        end = max(x1, run.step or x1)
        buckets = min(1 << 20, int(BUCKETS * max(1.0, (end - x0) / max(1e-9, x1 - x0))))
        steps, values = curve(history, run.number, key, since=max(-1, int(x0) - 2), buckets=buckets)
        inside = np.searchsorted(steps, x1 + 2, side="right")
        return steps[:inside].astype(np.float64), values[:inside]

    def weights(self, history: Any, run: RunRow) -> dict[str, float]:
        """The weight of each loss term of a run, from its configuration; read once."""
        from handreid_tui.history import configuration

        if run.number not in self._weights:
            settings = configuration(history, run.number)
            self._weights[run.number] = {
                key.split(".")[1]: float(value)
                for key, value in settings.items()
                if key.startswith("loss.") and key.endswith(".weight")
            }
        return self._weights[run.number]

    def keys(self, history: Any, run: RunRow) -> list[str]:
        from handreid_tui.history import metric_keys

        return metric_keys(history, run.number)

    def _read(self, history: Any, number: int, key: str) -> Points:
        from handreid_tui.history import curve

        known = self._found.pop((number, key), None)
        if known is None or not len(known[0]):
            steps, values = curve(history, number, key, buckets=BUCKETS)
            points = steps.astype(np.float64), values
        else:
            steps, values = curve(history, number, key, since=int(known[0][-1]))
            points = known
            if len(steps):
                points = np.append(known[0], steps), np.append(known[1], values)
            if len(points[0]) > 4 * BUCKETS:
                points = thin(*points, BUCKETS)
        self._found[number, key] = points  # now the youngest
        while len(self._found) > KEPT:
            self._found.pop(next(iter(self._found)))
        return points
