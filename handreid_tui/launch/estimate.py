"""How long the chosen runs will take, from runs of the history. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handreid_tui.text.numbers import duration

if TYPE_CHECKING:
    from engine.contract.config import RunConfig
    from handreid_tui.history import RunRow


@dataclass(frozen=True)
class Estimate:
    """Seconds for each run and for all of them, and the run that it comes from."""

    each: float
    total: float
    source: int

    def __str__(self) -> str:
        together = f", {duration(self.total)} in all" if self.total > self.each * 1.5 else ""
        return f"about {duration(self.each)} each{together} (as run {self.source})"


def estimate(configs: Sequence[RunConfig], runs: Iterable[RunRow], at_once: int = 1) -> Estimate | None:
    """From the latest finished run with the same model and data: its seconds an epoch. None where there is none."""
    if not configs:
        return None
    finished = [run for run in runs if run.status == "finished" and run.seconds and run.epochs]
    found: dict[str, RunRow] = {}
    seconds = []
    for config in configs:
        run = found.get(config.combo) or _most_alike(config, finished)
        if run is None or not run.seconds or not run.epochs:
            return None
        found[config.combo] = run
        seconds.append(run.seconds / run.epochs * max(1, config.train.epochs))
    return Estimate(sum(seconds) / len(seconds), sum(seconds) / at_once, max(run.number for run in found.values()))


def _most_alike(config: RunConfig, finished: list[RunRow]) -> RunRow | None:
    alike = [run for run in finished if run.model == config.model.name and run.dataset == config.data.source]
    same_device = [run for run in alike if config.device == "auto" or config.device.split(":")[0] in run.device.lower()]
    same_combo = [run for run in same_device if run.combo == config.combo]
    return max(same_combo or same_device or alike, key=lambda run: run.number, default=None)
