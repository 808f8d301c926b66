"""What the configurations on Launch reached so far, by validation: never the best of several by the test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from engine.contract.combos import Combo
from engine.contract.errors import UserError
from handreid_tui.launch.grid import Axes, combinations
from handreid_tui.ui.history_feed import Snapshot

if TYPE_CHECKING:
    from handreid_tui.history import RunRow

# What a launch may fill in: which names the same configuration all the same
COUNTED = ("finished", "running", "starting", "queued")
FILLED_IN = ("data.format", "data.source", "data.subset", "train.ids_per_batch")


@dataclass(frozen=True)
class Wanted:
    """The combinations on the page, with the settings that the form gives to all of them.

    grid: settings with several values. A result belongs to one configuration: a grid has none.
    """

    snapshot: Snapshot
    combos: Mapping[str, Combo]
    settings: Mapping[str, Any]
    grid: Axes = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """Means over the `seeds` finished seeds of one configuration, as fractions; None where nothing was measured.

    runs: by place in the grid and seed, the runs that finished, are running or are queued.
    """

    val_mAP: float | None
    rank1: float | None
    mAP: float | None
    seeds: int
    data: str
    runs: Mapping[tuple[int, int], int]


NO_RESULT = Result(None, None, None, 0, "", {})


class Results:
    """Reads what was reached. A run's configuration is read once. For one thread at a time."""

    def __init__(self) -> None:
        self._known: dict[int, dict[str, Any]] = {}

    def read(self, wanted: Wanted) -> dict[str, Result]:
        """The result of each combination whose exact configuration has finished runs."""
        from handreid_tui.history import configuration

        known = [run for run in wanted.snapshot.runs.values() if run.status in COUNTED and not run.archived]
        for run in known:
            if run.number not in self._known:
                self._known[run.number] = configuration(wanted.snapshot.opened, run.number)
        found = {}
        points = combinations(wanted.grid)
        for name in wanted.combos if known else ():
            alike = [self._alike(wanted, name, point, known) for point in points]
            if any(alike):
                result = _result(alike[0]) if len(points) == 1 else NO_RESULT
                runs = {(place, run.seed): run.number for place, each in enumerate(alike) for run in each}
                found[name] = replace(result, runs=runs)
        return found

    def _alike(self, wanted: Wanted, combo: str, point: Mapping[str, Any], known: list[RunRow]) -> list[RunRow]:
        """The runs with this configuration, but for their seeds."""
        from engine.contract.config import flatten, resolve

        settings = {**wanted.settings, **point}
        try:
            asked = flatten(resolve(combo, 0, dict(wanted.combos), **settings))
        except UserError:
            return []  # the form says what is wrong
        return [run for run in known if _same(asked, self._known[run.number], settings)]


def _same(asked: Mapping[str, Any], ran: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether a run has the configuration that is asked for, but for its seed and for what the launch filled in."""
    from handreid_tui.compare.finished_run import NOT_COMPARED

    free = {*NOT_COMPARED, *FILLED_IN} - {"train.ids_per_batch" if "train.ids_per_batch" in settings else ""}
    keys = (asked.keys() | ran.keys()) - free
    return (
        all(asked.get(key) == ran.get(key) for key in keys)
        and _place(asked["data.source"]) == _place(ran.get("data.source", ""))
        and asked["data.subset"] in ("auto", ran.get("data.subset"))
    )


def _place(source: str) -> str:
    return source if source in ("synthetic", "") else str(Path(source).expanduser().resolve())


def _result(runs: list[RunRow]) -> Result:
    """Of runs with one configuration: those of the last one's protocol, and of each seed the last."""
    finished = [run for run in runs if run.status == "finished"]
    last = (finished or runs)[-1]
    seeds = {run.seed: run for run in finished if run.protocol == last.protocol}
    return Result(
        _mean([run.metrics["best_val_mAP"] for run in seeds.values()]),
        _mean([run.metrics["rank1"] for run in seeds.values()]),
        _mean([run.metrics["mAP"] for run in seeds.values()]),
        len(seeds),
        f"{last.dataset.rpartition('/')[2]} {last.subset}",
        {},
    )


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
