"""How a field of an event is read from JSON; a value of another type is as good as none. No torch here."""

import math
from typing import Any

LARGEST = 2**53  # beyond it, a whole number is not exact as a float
_NUMERIC = (float, int, type(None))


def as_number(value: Any) -> float:
    """NaN where it is no number."""
    if type(value) is float:
        return value
    return float(value) if type(value) is int and abs(value) < LARGEST else math.nan


def whole(value: Any) -> int | None:
    """A count; None where it is none."""
    return value if type(value) is int and 0 <= value < LARGEST else None


def as_text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def as_flag(value: Any) -> bool:
    return value is True


def as_mapping(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def numbers(value: Any) -> dict[str, float] | None:
    """The numbers of an object; null is NaN, and what is neither is left out."""
    if not isinstance(value, dict):
        return None
    return {
        name: number if type(number) is float else as_number(number)
        for name, number in value.items()
        if type(number) in _NUMERIC
    }
