"""Numbers as people read them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.contract.metrics import Metric


def percent(fraction: float | None, digits: int = 1) -> str:
    """0.8812 as `88.1`; what was not measured as `–`."""
    if fraction is None or not math.isfinite(fraction):
        return "–"
    return f"{100 * fraction:.{digits}f}"


def metric_text(metric: Metric, value: float | None) -> str:
    """A value of a metric: a fraction as percent, a distance to three digits; what was not measured as `–`."""
    if metric.unit == "fraction" or value is None or not math.isfinite(value):
        return percent(value)
    return f"{value:.{ {'images/s': 0, 'degrees': 1}.get(metric.unit, 3) }f}"


def duration(seconds: float | None) -> str:
    """75 as `1:15`, 4000 as `1:06:40`."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(count: float) -> str:
    """Bytes as `3.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
