"""Runs that a user asked for: what they are, how long they take, and their launch. The command line's own functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.contract.combos import Combo
from engine.contract.hub import nothing_to_fetch
from handreid_tui.launch.estimate import estimate
from handreid_tui.launch.grid import Axes
from handreid_tui.launch.slurm.request import SlurmRequest
from handreid_tui.ui.screens.launch.form import naming_fields

if TYPE_CHECKING:
    from engine.contract.config import RunConfig
    from handreid_tui.history import RunRow
    from handreid_tui.launch.plan import LaunchPlan


@dataclass(frozen=True)
class Order:
    """Every combination, with every combination of the grid's values and every seed. `own`: the user's by name.

    settings: dotted, for all runs. slurm: what the runs take on Slurm, None where they run here.
    """

    combos: list[str]
    seeds: list[int]
    settings: dict[str, Any]
    own: dict[str, Combo]
    tags: list[str]
    slurm: SlurmRequest | None = None
    grid: Axes = field(default_factory=dict)

    @property
    def first_point(self) -> dict[str, Any]:
        """The settings of the first run."""
        return self.settings | {key: values[0] for key, values in self.grid.items()}

    def planned(self) -> LaunchPlan:
        """The distinct configurations, not yet checked against the data. Raises UserError where one is wrong."""
        from handreid_tui.launch.plan import LaunchPlan, resolve_all

        configs, equal = resolve_all(self.combos, self.seeds, self.settings, self.grid, self.own)
        return LaunchPlan(configs, [], [], self.grid, equal)

    def first_config(self) -> RunConfig:
        """What the settings come to. Raises UserError where one is wrong."""
        from engine.contract.config import resolve

        return resolve(self.combos[0] if self.combos else "ce", 0, self.own, **self.first_point)


def time_needed(configs: Sequence[RunConfig], runs: Iterable[RunRow], at_once: int) -> str:
    """How long the runs will take, in words, from the history."""
    found = estimate(configs, runs, at_once)
    return str(found) if found else "no comparable run to estimate from"


def headline(order: Order, runs: Path) -> str:
    """Data and model in one line, with warnings; "" where the synthetic hands must be drawn first, see `draw_hands`.

    Raises UserError for everything that is known to fail.
    """
    from engine.data.cache_dir import cache_folder
    from engine.data.synthetic import demo_folder
    from handreid_tui.launch.plan import check_place, plan

    check_place(order.settings, order.grid, on_slurm=order.slurm is not None)
    if order.first_point.get("data.source", "synthetic") == "synthetic" and not demo_folder(cache_folder()).is_dir():
        return ""
    with naming_fields():
        planned = plan(order.combos, order.seeds, order.settings, runs, order.own, grid=order.grid)
    warnings = filter(None, [*_no_weights(planned.configs[0]), *planned.warnings, planned.few_steps])
    return "  ".join([planned.headline.partition(" · ")[2], *(f"! {text}" for text in warnings)])


def _no_weights(config: RunConfig) -> list[str]:
    """A way out where the weights would have to be downloaded and cannot be."""
    from engine.contract.models import SYNTHETIC
    from engine.contract.start import is_start

    weights = config.model.pretrained
    if weights == "none" or is_start(weights) or Path(weights).exists() or not nothing_to_fetch():
        return []
    return [f"The hub is not reachable and its cache is empty: enter {SYNTHETIC} as Weights and leave Model empty."]


def draw_hands() -> None:
    """Draw the synthetic hands, once; takes a while."""
    from engine.data.cache_dir import cache_folder
    from engine.data.synthetic import ensure

    ensure(cache_folder())


def launch(order: Order, runs: Path) -> list[Path]:
    """Make the run directories and queue them. Raises UserError, with nothing made, where they cannot run."""
    from handreid_tui.launch import lifecycle
    from handreid_tui.launch.plan import plan

    with naming_fields():
        planned = plan(order.combos, order.seeds, order.settings, runs, order.own, grid=order.grid)
        return lifecycle.create_and_launch(runs, planned.configs, tags=order.tags, slurm=order.slurm)
