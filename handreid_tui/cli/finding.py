"""What `handreid doctor` finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One thing looked at: `ok` is None where it is no fault, only a limit."""

    what: str
    ok: bool | None
    text: str
