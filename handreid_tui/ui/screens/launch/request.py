"""Runs that a user asked for: what they are, how long they take, and their launch. The command line's own functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.contract.combos import Combo
from engine.contract.hub import nothing_to_fetch
from handreid_tui.launch.slurm.request import SlurmRequest
from handreid_tui.ui.screens.launch.estimate import estimate
from handreid_tui.ui.screens.launch.form import naming_fields

if TYPE_CHECKING:
    from engine.contract.config import RunConfig
    from handreid_tui.history import RunRow


@dataclass(frozen=True)
class Order:
    """Every pair of combination and seed, with these dotted settings. `own`: the user's combinations by name.

    slurm: what the runs take on Slurm, None where they run here.
    """

    combos: list[str]
    seeds: list[int]
    settings: dict[str, Any]
    own: dict[str, Combo]
    tags: list[str]
    slurm: SlurmRequest | None = None

    @property
    def count(self) -> int:
        return len(self.combos) * len(self.seeds)

    def first_config(self) -> RunConfig:
        """What the settings come to. Raises UserError where one is wrong."""
        from engine.contract.config import resolve

        return resolve(self.combos[0] if self.combos else "ce", 0, self.own, **self.settings)


def time_needed(configs: Sequence[RunConfig], runs: Iterable[RunRow], at_once: int) -> str:
    """How long the runs will take, in words, from the history."""
    found = estimate(configs, runs, at_once)
    return str(found) if found else "no comparable run to estimate from"


def headline(order: Order, runs: Path) -> str:
    """Data and model in one line, with warnings. Raises UserError for everything that is known to fail."""
    from handreid_tui.launch.plan import check_device, plan

    with naming_fields():
        planned = plan(order.combos, order.seeds, order.settings, runs, order.own)
        if order.slurm is None:
            check_device(planned.configs[0].device)
    warnings = [*_no_weights(planned.configs[0]), *planned.warnings]
    return "  ".join([planned.headline.partition(" · ")[2], *(f"! {text}" for text in warnings)])


def _no_weights(config: RunConfig) -> list[str]:
    """A way out where the weights would have to be downloaded and cannot be."""
    from engine.contract.start import SYNTHETIC, is_start

    weights = config.model.pretrained
    if weights == "none" or is_start(weights) or Path(weights).exists() or not nothing_to_fetch():
        return []
    return [f"The hub is not reachable and its cache is empty: enter {SYNTHETIC} in Weights, and no model."]


def launch(order: Order, runs: Path) -> list[Path]:
    """Make the run directories and queue them. Raises UserError, with nothing made, where they cannot run."""
    from handreid_tui.launch import lifecycle
    from handreid_tui.launch.plan import plan

    with naming_fields():
        planned = plan(order.combos, order.seeds, order.settings, runs, order.own)
        return lifecycle.create_and_launch(runs, planned.configs, tags=order.tags, slurm=order.slurm)
