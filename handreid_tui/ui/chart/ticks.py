"""Round numbers for axes, and short text for them."""

from __future__ import annotations

import math

from handreid_tui.text.numbers import duration


def linear_ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` multiples of 1, 2 or 5 times a power of ten within [low, high], ascending."""
    if not high > low or most < 1:
        return []
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    for factor in (1, 2, 5, 10, 20):
        step = factor * power
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 <= most:
            return [n * step for n in range(first, last + 1)]
    return []


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` ticks within [low, high] (positive): powers of ten, with 2 and 5 between them where they fit."""
    if not high > low > 0 or most < 1:
        return []
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [f * 10.0**p for p in range(first, last + 1) for f in factors if low <= f * 10.0**p <= high]
        if len(ticks) <= most:
            break
    ticks = ticks[:: math.ceil(len(ticks) / most)] if ticks else []
    return ticks if len(ticks) >= 2 else linear_ticks(low, high, most)


def short(value: float, step: float = 0.0) -> str:
    """`value` in few characters: 12k, 1.5M, 0.25, 3e-05; `step` is the distance to the next tick."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    if size >= 1e15:
        return f"{value:.1e}"
    for unit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= unit and (unit > 1e3 or size >= 1e4 or value % 100 == 0):
            places = 0 if step >= unit else min(3, max(0, -math.floor(math.log10(step / unit)))) if step else 2
            text = f"{value / unit:.{places}f}"
            return (text.rstrip("0").rstrip(".") if "." in text else text) + letter
    if size and size < 1e-3:
        return f"{value:.0e}" if not step or step >= size / 2 else f"{value:.1e}"
    if not step:
        return f"{value:.3g}" if size < 1000 else f"{value:.0f}"
    return f"{value:.{min(6, max(0, -math.floor(math.log10(step) + 1e-9)))}f}"


def percent(value: float, step: float = 0.0) -> str:
    """A fraction as percent, without the sign: 88.2; whole numbers where the ticks are whole."""
    if not math.isfinite(value):
        return "–"
    return f"{100 * value:.{0 if step >= 0.01 else 1}f}"


def clock(seconds: float) -> str:
    """A duration in few characters: 42s, 3:05, 1:02:30, 2d 4h."""
    if not math.isfinite(seconds):
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 100 * 3600:
        return duration(whole)
    return f"{whole // 86400}d {whole // 3600 % 24}h"
