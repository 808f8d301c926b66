"""Which runs are marked after a key. A line of a sweep, whose key is negative, is never marked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def toggled(marked: Iterable[int], number: int) -> list[int]:
    """With `number` marked, or no longer marked."""
    others = [each for each in marked if each != number]
    return others if number in marked or number < 0 else [*others, number]


def all_or_none(marked: Iterable[int], in_sight: Sequence[int]) -> list[int]:
    """All runs in sight, or none of them if all are marked; those out of sight stay marked."""
    runs = [number for number in in_sight if number > 0]
    hidden = [number for number in marked if number not in runs]
    return hidden if set(runs) <= set(marked) else [*hidden, *runs]


def inverted(marked: Iterable[int], in_sight: Sequence[int]) -> list[int]:
    hidden = [number for number in marked if number not in in_sight]
    return [*hidden, *(number for number in in_sight if number > 0 and number not in marked)]


def up_to(marked: Sequence[int], in_sight: Sequence[int], current: int) -> list[int]:
    """With all from the run that was marked last to `current`."""
    last = next((number for number in reversed(marked) if number in in_sight), current)
    first, end = sorted((in_sight.index(last), in_sight.index(current)))
    return list(dict.fromkeys([*marked, *(number for number in in_sight[first : end + 1] if number > 0)]))
