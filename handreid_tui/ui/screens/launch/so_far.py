"""What the configurations on Launch reached so far, by validation: never the best of several by the test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from engine.contract.combos import Combo
from engine.contract.errors import UserError
from handreid_tui.ui.history_feed import Snapshot

if TYPE_CHECKING:
    from handreid_tui.history import RunRow

# What a launch may fill in: which names the same configuration all the same
COUNTED = ("finished", "running", "starting", "queued")
FILLED_IN = ("data.format", "data.source", "data.subset", "train.ids_per_batch")


@dataclass(frozen=True)
class Wanted:
    """The combinations on the page, with the settings that the form gives to all of them."""

    snapshot: Snapshot
    combos: Mapping[str, Combo]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    """Means over the `seeds` finished seeds of one configuration, as fractions; None where nothing was measured.

    runs: the run of each seed that finished, is running or is queued.
    """

    val_mAP: float | None
    rank1: float | None
    mAP: float | None
    seeds: int
    data: str
    runs: Mapping[int, int]


class Results:
    """Reads what was reached. A run's configuration is read once. For one thread at a time."""

    def __init__(self) -> None:
        self._known: dict[int, dict[str, Any]] = {}

    def read(self, wanted: Wanted) -> dict[str, Result]:
        """The result of each combination whose exact configuration has finished runs."""
        from engine.contract.config import flatten, resolve
        from handreid_tui.history import configuration

        known = [run for run in wanted.snapshot.runs.values() if run.status in COUNTED and not run.archived]
        for run in known:
            if run.number not in self._known:
                self._known[run.number] = configuration(wanted.snapshot.opened, run.number)
        found = {}
        for name in wanted.combos if known else ():
            try:
                asked = flatten(resolve(name, 0, dict(wanted.combos), **wanted.settings))
            except UserError:
                continue  # the form says what is wrong
            alike = [run for run in known if _same(asked, self._known[run.number], wanted.settings)]
            if alike:
                found[name] = _result(alike)
        return found


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
        {run.seed: run.number for run in runs},
    )


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
