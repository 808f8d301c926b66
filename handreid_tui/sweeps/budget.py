"""As many trials as fit into a time: `tune --budget 8h`, and the dialog on Launch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.errors import UserError
from handreid_tui.launch.estimate import estimate
from handreid_tui.sweeps import actions
from handreid_tui.sweeps.plan_file import FOLDS

if TYPE_CHECKING:
    from handreid_tui.history import RunRow

UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Budget:
    """trials: of each combination, an equal whole number. source: the run whose time it was reckoned from."""

    trials: int
    source: int


def trials_within(
    budget: str, asked: actions.SweepRequest, runs: Path, known: Iterable[RunRow], tell: Callable[[str], None]
) -> Budget:
    """The trials that a time is enough for, from the latest comparable run. Raises UserError where there is none."""
    written = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([mhd])", budget.strip())
    if not written:
        raise UserError(f"--budget is a time such as 90m, 8h or 2d, but got {budget!r}.")
    recipes, _ = actions.prepare(replace(asked, trials=1, shortlist=1), runs, tell)
    found = estimate(list(recipes.bases.values()), known)
    if found is None:
        raise UserError("No comparable run to estimate the time from: train one first, or give --trials.")
    at_once = asked.slurm.running or 1 if asked.slurm else int((asked.launch or {}).get("parallel", 1))
    trainings = float(written[1]) * UNITS[written[2]] * at_once / found.total
    trials = int((trainings - asked.shortlist * (FOLDS - asked.folds) - asked.confirm) // asked.folds)
    if trials < max(2, asked.shortlist):
        raise UserError(
            f"{budget} allows {max(0, int(trainings))} trainings per combination ({found}): "
            "too few for a search. Give more time, or smaller --shortlist and --confirm."
        )
    return Budget(trials, found.source)
