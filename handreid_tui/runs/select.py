"""Which run directory a user means by RUN: a number, a unique beginning of a name, or `last`; 12-40 means several."""

from __future__ import annotations

import re
from pathlib import Path

from engine.contract.errors import UserError
from handreid_tui.runs import directory
from handreid_tui.runs.meta import Meta


def find_run(runs: Path, text: str) -> Path:
    """The run directory that `text` names. Raises UserError where none or several fit."""
    paths = directory.list_runs(runs)
    if not paths:
        raise UserError(f"There are no runs in {runs} yet: start one with `handreid run --combo ce`.")
    if text == "last":
        return paths[-1]
    if text.isdigit():
        fitting = [path for path in paths if directory.number(path) == int(text)]
    else:
        fitting = [path for path in paths if text in _names(path)] or [
            path for path in paths if any(name.startswith(text) for name in _names(path))
        ]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise UserError(f"There is no run {text!r} in {runs}: see `handreid runs`.")
    shown = ", ".join(path.name for path in fitting[:5])
    raise UserError(f"{text!r} fits {len(fitting)} runs ({shown}{', …' if len(fitting) > 5 else ''}): give a number.")


def find_runs(runs: Path, texts: list[str]) -> list[Path]:
    """The run directories that all these texts name; `12-40` is each run from 12 to 40 that there is."""
    found: dict[Path, None] = {}
    for text in texts:
        if numbers := re.fullmatch(r"([0-9]+)-([0-9]+)", text):
            first, last = int(numbers[1]), int(numbers[2])
            fitting = [path for path in directory.list_runs(runs) if first <= directory.number(path) <= last]
            if not fitting:
                raise UserError(f"There is no run from {first} to {last} in {runs}: see `handreid runs`.")
            found |= dict.fromkeys(fitting)
        else:
            found[find_run(runs, text)] = None
    return list(found)


def _names(path: Path) -> list[str]:
    """What a run goes by: its folder, its combination, and the name that a user gave it."""
    own = Meta.read(path).name
    return [path.name, path.name.partition("-")[2], *([own] if own else [])]
