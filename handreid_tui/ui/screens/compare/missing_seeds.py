"""Which seeds a comparison lacks: each combination is compared over at least three, the same for all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handreid_tui.ui.screens.launch.again import unused_seed

if TYPE_CHECKING:
    from handreid_tui.compare import FinishedRun

LEAST = 3  # below, the scatter over seeds cannot be told from chance: docs/statistics.md


@dataclass(frozen=True)
class MissingSeeds:
    """One run of each combination that lacks exactly `seeds`. left: combinations that lack others."""

    numbers: tuple[int, ...]
    seeds: tuple[int, ...]
    left: int


def missing_seeds(runs: Iterable[FinishedRun]) -> MissingSeeds | None:
    """What to train so that the trained runs of a table have the same seeds; None where they have at least three."""
    by_setup: dict[tuple[str, str], dict[int, int]] = {}
    for run in runs:
        if run.trained:
            by_setup.setdefault((run.combo, run.setup), {})[run.seed] = run.number
    wanted = sorted({seed for seeds in by_setup.values() for seed in seeds})
    while by_setup and len(wanted) < LEAST:
        wanted.append(unused_seed(wanted))
    groups: dict[tuple[int, ...], list[int]] = {}
    for seeds in by_setup.values():
        if lacking := tuple(seed for seed in sorted(wanted) if seed not in seeds):
            groups.setdefault(lacking, []).append(next(iter(seeds.values())))
    if not groups:
        return None
    lacking, numbers = max(groups.items(), key=lambda group: len(group[1]))
    return MissingSeeds(tuple(numbers), lacking, sum(map(len, groups.values())) - len(numbers))
