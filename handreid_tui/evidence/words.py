"""Verbal equivalents of likelihood ratios (ENFSI guideline for evaluative reporting, 2015). Never without numbers."""

from __future__ import annotations

SCALE = (
    (1_000_000, "extremely strong"),
    (10_000, "very strong"),
    (1_000, "strong"),
    (100, "moderately strong"),
    (10, "moderate"),
    (2, "weak"),
)


def in_words(ratio: float) -> str:
    """In brackets, to follow the number: ` (moderate support for the same person)`."""
    strength = max(ratio, 1 / ratio)
    word = next((word for least, word in SCALE if strength >= least), None)
    if word is None:
        return " (no support for either)"
    return f" ({word} support for {'the same person' if ratio > 1 else 'different people'})"
