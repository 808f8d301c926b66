"""`handreid tune`: plan a sweep, start or extend it, follow it to its end."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from typing import Any

from engine.contract.combos import Combo
from engine.contract.errors import UserError
from handreid_tui.cli.agree import agree
from handreid_tui.cli.sweep_names import number_of
from handreid_tui.cli.sweeps import show_sweeps, sweep_line
from handreid_tui.launch.slurm.request import SlurmRequest
from handreid_tui.runs.tags import check_tags
from handreid_tui.settings import Places
from handreid_tui.sweeps import actions
from handreid_tui.sweeps.keeper import look_after_sweeps
from handreid_tui.sweeps.plan_file import SweepPlan
from handreid_tui.sweeps.space import read_over
from handreid_tui.sweeps.status import as_object, read_status
from handreid_tui.text.tables import stderr

ASK_ABOVE = 100  # trainings
LOOK_EVERY = 1.0  # seconds
TRIALS = 24


def tune(
    places: Places,
    combos: list[str],
    settings: dict[str, Any],
    own: dict[str, Combo],
    over: list[str],
    *,
    trials: int | None,
    budget: str | None,
    how: dict[str, Any],
    tags: list[str],
    launch: dict[str, Any],
    slurm: SlurmRequest | None,
    detach: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Start a sweep and, unless `detach`, follow it. The exit status: 0 finished, 1 paused, 130 interrupted.

    Raises UserError before anything is made.
    """
    check_tags(tags)
    if trials is not None and budget is not None:
        raise UserError("Give --trials or --budget, not both.")
    say = stderr()
    if launch["parallel"] > 1:  # or each of them would take all cores
        settings = {"threads": max(1, (os.cpu_count() or 1) // launch["parallel"])} | settings
    asked = replace(
        actions.SweepRequest(combos, settings, own, read_over(over)),
        trials=TRIALS if trials is None else trials,
        launch=launch,
        slurm=slurm,
        tags=tuple(tags),
        **how,
    )
    if budget is not None:
        asked = replace(asked, trials=_trials_within(budget, asked, places))
    made, checked = actions.prepare(asked, places.runs, say.print)
    say.print(f"{_announced(made)} · {checked.headline.partition(' · ')[2]}", soft_wrap=True)
    for warning in checked.warnings:
        say.print(f"Note: {warning}", style="yellow", soft_wrap=True)
    if made.trainings > ASK_ABOVE:
        agree(f"Train up to {made.trainings} runs?", yes, "No run was created.")
    started = actions.start(made, places.runs)
    return _follow(places, started.number, detach, as_json)


def extend(places: Places, more: str, trials: int | None, detach: bool, as_json: bool) -> int:
    """Give a sweep more trials, then as `tune`. Raises UserError where it has as many already."""
    number = number_of(more)
    if trials is None:
        raise UserError(f"Give the number of trials per combination: `handreid tune --more @{number} --trials 48`.")
    actions.extend(places.runs, number, trials)
    return _follow(places, number, detach, as_json)


def _announced(made: SweepPlan) -> str:
    combos = f"{len(made.combos)} combination{'s' if len(made.combos) > 1 else ''}"
    spaces = {len(space) for space in made.spaces.values()}
    varied = f"{min(spaces)} to {max(spaces)}" if len(spaces) > 1 else f"{min(spaces)}"
    return f"{combos} · {made.trials} trials each over {varied} settings · up to {made.trainings} trainings"


def _follow(places: Places, number: int, detach: bool, as_json: bool) -> int:
    if detach:
        print(f"Sweep @{number} started. `handreid sweeps @{number}` shows it.", file=sys.stderr)
        if as_json:
            print(json.dumps(as_object(read_status(places.runs, number))))
        return 0
    shown = ""
    try:
        while (status := read_status(places.runs, number)).phase not in ("finished", "stopped"):
            if (text := sweep_line(status)) != shown:
                print(shown := text, file=sys.stderr, flush=True)
            look_after_sweeps(places.runs)
            time.sleep(LOOK_EVERY)
    except KeyboardInterrupt:
        actions.stop(places.runs, number)
        print(f"Stopped. `handreid resume @{number}` continues where it stopped.", file=sys.stderr)
        return 130
    show_sweeps(places, f"@{number}", as_json)
    return 0 if status.phase == "finished" else 1


def _trials_within(budget: str, asked: actions.SweepRequest, places: Places) -> int:
    from handreid_tui.cli.up_to_date import up_to_date
    from handreid_tui.history import list_runs
    from handreid_tui.sweeps.budget import trials_within

    history = up_to_date(places)
    known = list_runs(history)
    history.dispose()
    found = trials_within(budget, asked, places.runs, known, stderr().print)
    print(f"{budget}: {found.trials} trials per combination, estimated from run {found.source}.", file=sys.stderr)
    return found.trials
