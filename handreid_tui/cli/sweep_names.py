"""Sweeps as the command line names them: @N, wherever a command takes runs."""

from __future__ import annotations

import re
from pathlib import Path

from engine.contract.errors import UserError
from handreid_tui.runs import directory


def number_of(text: str) -> int:
    """The sweep that `@3` names. Raises UserError for anything else."""
    if found := re.fullmatch(r"@([0-9]{1,9})", text):
        return int(found[1])
    raise UserError(f"A sweep is named by its number, like @3, but got {text!r}. See `handreid sweeps`.")


def apart(texts: list[str]) -> tuple[list[int], list[str]]:
    """The sweeps among these names of runs, and the others."""
    sweeps = [number_of(text) for text in texts if text.startswith("@")]
    return sweeps, [text for text in texts if not text.startswith("@")]


def with_confirmations(runs: Path, texts: list[str]) -> list[str]:
    """The names with each sweep replaced by the numbers of its finished confirmations."""
    sweeps, others = apart(texts)
    for number in sweeps:
        from handreid_tui.sweeps.plan_file import read_plan
        from handreid_tui.sweeps.roles import CONFIRM
        from handreid_tui.sweeps.trials import Reader

        found = Reader(runs, read_plan(runs, number).number).read()
        confirmed = [run.path for task, run in found.items() if task.role == CONFIRM and run.status == "finished"]
        if not confirmed:
            raise UserError(f"Sweep @{number} has no finished confirmation yet: see `handreid sweeps @{number}`.")
        others += [str(directory.number(path)) for path in confirmed]
    return others
