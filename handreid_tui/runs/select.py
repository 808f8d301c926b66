"""Which run directory a user means by RUN: a number, a unique beginning of a name, or `last`; 12-40 means several."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from engine.contract.errors import UserError
from handreid_tui.runs import directory
from handreid_tui.runs.meta import Meta

R = TypeVar("R")


def choose(runs: Sequence[R], text: str, path: Callable[[R], Path], own_name: Callable[[R], str], where: str = "") -> R:
    """The one of `runs`, in the order of their numbers, that `text` names.

    own_name: what a user called a run, "" for nothing; where: ` in FOLDER`, for the messages. Raises UserError where
    none or several fit.
    """

    def names(run: R) -> tuple[str, ...]:
        folder = path(run).name
        return folder, folder.partition("-")[2], own_name(run)

    if not runs:
        raise UserError(f"There are no runs{where} yet: start one with `handreid run --combo ce`.")
    if text == "last":
        return runs[-1]
    if text.isdigit():
        fitting = [run for run in runs if directory.number(path(run)) == int(text)]
    else:
        fitting = [run for run in runs if text and text in names(run)] or [
            run for run in runs if any(name.startswith(text) for name in names(run))
        ]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise UserError(f"There is no run {text!r}{where}: see `handreid runs`.")
    shown = ", ".join(path(run).name for run in fitting[:5])
    raise UserError(
        f"{text!r} matches {len(fitting)} runs ({shown}{', …' if len(fitting) > 5 else ''}): give a number."
    )


def find_run(runs: Path, text: str) -> Path:
    """The run directory that `text` names. Raises UserError where none or several fit."""
    paths = directory.list_runs(runs)
    return choose(paths, text, path=lambda each: each, own_name=lambda each: Meta.read(each).name, where=f" in {runs}")


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
