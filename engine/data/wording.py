"""Counts in messages: "1 identity", "2 identities"."""

from __future__ import annotations


def count(number: int, one: str, many: str | None = None) -> str:
    """`number` with its noun; `many` is the plural where it is not `one` with -s or, after a consonant, -ies."""
    if number == 1:
        return f"1 {one}"
    return f"{number} {many or plural(one)}"


def plural(one: str) -> str:
    return f"{one[:-1]}ies" if one.endswith("y") and one[-2:-1] not in "aeiou" else f"{one}s"
