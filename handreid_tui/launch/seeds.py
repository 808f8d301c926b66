"""Seeds as a user writes them."""

from __future__ import annotations

from engine.contract.errors import UserError


def read_seeds(text: str) -> list[int]:
    """`0,1,2`, `0 1 2` or `0-4` as numbers; 0 where empty. Raises UserError otherwise."""
    seeds: list[int] = []
    for part in text.replace(",", " ").split():
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UserError(f"Seeds are whole numbers, like 0,1,2 or 0-4, but got {part!r}.")
        numbers = range(int(first), int(last or first) + 1)
        if not numbers or len(numbers) > 1000:
            raise UserError(f"{part!r} is not a range of at most 1,000 seeds.")
        seeds += numbers
    if any(seed >= 2**32 for seed in seeds):
        raise UserError("Seeds must be below 4,294,967,296.")
    return list(dict.fromkeys(seeds)) or [0]
