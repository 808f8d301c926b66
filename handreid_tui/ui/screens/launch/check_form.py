"""What was typed and chosen on Launch, check. No widget: called in a thread, so that no key waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.contract.combos import Combo
from engine.contract.errors import UserError
from handreid_tui.launch.grid import Axes
from handreid_tui.launch.seeds import read_seeds
from handreid_tui.launch.slurm.request import SlurmRequest
from handreid_tui.settings import UserFile
from handreid_tui.ui.screens.launch.form import ENTRIES, SLURM, of_field, read_entry, reason_against
from handreid_tui.ui.screens.launch.request import LaunchRequest
from handreid_tui.ui.screens.launch.so_far import Result

if TYPE_CHECKING:
    from engine.contract.config import RunConfig

# Beyond these a value is asked about, for a key may have landed in the wrong field
RATES = (1e-7, 0.1)
MOST = {"epochs": 1000, "images in a batch": 2048, "runs": 200}


@dataclass(frozen=True)
class FormInput:
    """The texts of the fields by name, and the combinations: all, those chosen, and the user's own by name."""

    texts: Mapping[str, str]
    names: tuple[str, ...]
    chosen: tuple[str, ...]
    own: Mapping[str, Combo]
    user: UserFile


@dataclass(frozen=True)
class FormCheck:
    """Why fields are wrong ("" where they are not), and what the page comes to.

    order: None where something is wrong. config: that of the first run. configs: one for each run. count: how many
    runs, in words, with what makes them so many. each: the first configuration of every combination of the page that
    the settings suit.
    """

    reasons: Mapping[str, str]
    order: LaunchRequest | None = None
    config: RunConfig | None = None
    configs: tuple[RunConfig, ...] = field(default=(), repr=False)
    count: str = ""
    each: Mapping[str, RunConfig] = field(default_factory=dict, repr=False)
    problem: str = ""


def check_form(typed: FormInput) -> FormCheck:
    """The judgement of each field and of all together, but for what only the data can tell."""
    reasons = {entry.id: reason_against(entry, typed.texts[entry.id]) for entry in ENTRIES}
    try:
        axes: Axes = {}
        for entry in ENTRIES:
            axes |= read_entry(entry, typed.texts[entry.id])
        grid = {key: values for key, values in axes.items() if len(values) > 1}
        settings = dict(typed.user.settings) | {key: values[0] for key, values in axes.items() if key not in grid}
        slurm = (typed.user.slurm or SlurmRequest()) if typed.texts["device"] == SLURM else None
        seeds, tags = read_seeds(typed.texts["seeds"]), typed.texts["tags"].replace(",", " ").split()
        order = LaunchRequest(list(typed.chosen), seeds, settings, dict(typed.own), tags, slurm, grid)
        config, planned = order.first_config(), order.planned()
    except UserError as error:
        return FormCheck(reasons, problem="" if any(reasons.values()) else of_field(error))
    if any(reasons.values()):
        return FormCheck(reasons, config=config)
    count = planned.count if planned.configs else ""
    return FormCheck(reasons, order, config, tuple(planned.configs), count, _resolved(typed.names, order))


def _resolved(names: tuple[str, ...], order: LaunchRequest) -> dict[str, RunConfig]:
    from engine.contract.config import resolve

    found = {}
    for name in names:
        with suppress(UserError):  # a batch that does not suit its loss: nothing is shown for it then
            found[name] = resolve(name, 0, order.own, **order.first_point)
    return found


def doubts(check: FormCheck, results: Mapping[str, Result]) -> list[str]:
    """What to ask before a launch, a sentence each: values out of any sensible range, and runs that exist already."""
    order, config = check.order, check.config
    if order is None or config is None:
        return []
    found = []
    wrong = dict.fromkeys(c.train.lr for c in check.configs if not RATES[0] <= c.train.lr <= RATES[1])
    found += [f"The learning rate is {rate:g}." for rate in wrong]
    sizes = {
        "epochs": max((c.train.epochs for c in check.configs), default=0),
        "images in a batch": max((c.train.ids_per_batch * c.train.images_per_id for c in check.configs), default=0),
        "runs": len(check.configs),
    }
    found += [f"There are {count} {name}." for name, count in sizes.items() if count > MOST[name]]
    existing = {
        number
        for combo in order.combos
        if combo in results
        for (_, seed), number in results[combo].runs.items()
        if seed in order.seeds
    }
    if existing:
        numbers = ", ".join(map(str, sorted(existing)[:8])) + (", …" if len(existing) > 8 else "")
        which = f"run {numbers}" if len(existing) == 1 else f"runs {numbers}"
        total = len(check.configs)
        found.append(f"{len(existing)} of {total} already exist with these settings and seeds: {which}.")
    return found
