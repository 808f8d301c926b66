"""A sweep as the dialog on Launch asks for it, planned as `handreid tune` plans it. No widget: called in a thread."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.errors import UserError
from engine.data.wording import count
from handreid_tui.launch.estimate import estimate
from handreid_tui.text.numbers import duration
from handreid_tui.ui.screens.launch.request import LaunchRequest

if TYPE_CHECKING:
    from handreid_tui.history import RunRow
    from handreid_tui.sweeps.actions import SweepRequest
    from handreid_tui.sweeps.plan_file import SweepPlan

NUMBERS = {"trials": "24", "shortlist": "3", "confirm": "3"}  # with what an empty field means


@dataclass(frozen=True)
class TuneRequest:
    """What the dialog holds: an order without grid, the texts of its fields, its choices, and the runs known so far."""

    order: LaunchRequest
    texts: dict[str, str]
    choices: dict[str, str]
    runs: Path
    known: Sequence[RunRow]


@dataclass(frozen=True)
class PlannedSweep:
    """The plan of a sweep, every point checked, with what it comes to in words."""

    asked: TuneRequest
    plan: SweepPlan

    @property
    def told(self) -> str:
        made = self.plan
        spaces = sorted({len(space) for space in made.spaces.values()})
        over = count(spaces[-1], "setting") if len(spaces) == 1 else f"{spaces[0]} to {spaces[-1]} settings"
        told = f"{count(made.trials, 'trial')} each over {over}, up to {count(made.trainings, 'training')} in all"
        found = estimate(list(made.bases.values()), self.asked.known)
        return (
            f"{told}, about {duration(made.trainings * found.each)} (as run {found.source})." if found else f"{told}."
        )


def prepare(asked: TuneRequest) -> PlannedSweep:
    """Raises UserError in the words of the dialog, with nothing made."""
    from handreid_tui.sweeps import actions
    from handreid_tui.sweeps.budget import trials_within

    with naming_fields():
        request = _request(asked)
        if budget := asked.texts["budget"].strip():
            within = trials_within(budget, request, asked.runs, asked.known, lambda text: None)
            request = replace(request, trials=within.trials)
        return PlannedSweep(asked, actions.prepare(request, asked.runs, lambda text: None)[0])


def start(planned: PlannedSweep) -> int:
    """Queue the first trials. Returns the sweep's number. Raises UserError with nothing left of it."""
    from handreid_tui.sweeps import actions

    return actions.start(planned.plan, planned.asked.runs).number


def no_bayes(order: LaunchRequest) -> str:
    """Why the search cannot be Bayesian, "" if it can."""
    from handreid_tui.sweeps.bayes import check_installed

    if order.slurm:
        return "not on Slurm"
    try:
        check_installed("bayes")
    except UserError as error:
        return str(error).partition(" ")[2]
    return ""


def why_not(order: LaunchRequest) -> str:
    """Why this order cannot be tuned, "" if it can."""
    if order.grid:
        return "A search varies settings itself: leave one value in each field, and enter ranges in the dialog."
    return ""


def _request(asked: TuneRequest) -> SweepRequest:
    from handreid_tui.sweeps.actions import SweepRequest
    from handreid_tui.sweeps.space import read_over

    order, choices = asked.order, asked.choices
    numbers = {name: _whole(name, asked.texts[name].strip() or usual) for name, usual in NUMBERS.items()}
    epochs = asked.texts["epochs"].strip()
    return SweepRequest(
        order.combos,
        order.settings | ({"train.epochs": _whole("epochs", epochs)} if epochs else {}),
        order.own,
        read_over(asked.texts["over"].split()),
        method=choices["method"],
        prune=choices["prune"] == "on",
        folds=int(choices["folds"]),
        launch={"gpus": 1.0, "priority": 0, "parallel": 1},
        slurm=order.slurm,
        tags=tuple(order.tags),
        **numbers,
    )


def _whole(name: str, text: str) -> int:
    if not text.isdecimal():
        raise UserError(f"{name.capitalize()} is a whole number, but got {text!r}.")
    return int(text)


@contextmanager
def naming_fields() -> Iterator[None]:
    """A UserError of what is done inside names the fields of the dialog, not the options of the command line."""
    try:
        yield
    except UserError as error:
        names = "trials|budget|over|method|folds|prune|shortlist|confirm"
        raise UserError(re.sub(rf"--({names})\b", lambda found: found[1].capitalize(), str(error))) from None
