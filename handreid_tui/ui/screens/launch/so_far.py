"""What each combination reached so far, in the groups of runs that `handreid compare` makes rows of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from handreid_tui.ui.history_feed import Snapshot

if TYPE_CHECKING:
    from handreid_tui.history import RunRow

UNTRAINED = "zero_shot"
Mean = tuple[float, float, int]  # rank-1, mAP, seeds
Rank = tuple[float, int]


@dataclass(frozen=True)
class Best:
    """The test means over the seeds of one configuration: the best by validation of the `groups` that ran in this
    protocol. Test results are shown, never chosen by."""

    rank1: float
    mAP: float
    seeds: int
    groups: int
    data: str


@dataclass(frozen=True)
class Setup:
    """Texts that stand for a configuration, equal where compare sees no difference. `encoder`: its model alone."""

    trials: int
    whole: str
    encoder: str


class Results:
    """Reads what was reached. A run's configuration is read once. For one thread at a time."""

    def __init__(self) -> None:
        self._setups: dict[int, Setup] = {}

    def read(self, snapshot: Snapshot) -> dict[str, Best]:
        from handreid_tui.history import configuration

        finished = [run for run in snapshot.runs.values() if run.status == "finished" and not run.archived]
        finished = [run for run in finished if run.metrics["rank1"] is not None and run.metrics["mAP"] is not None]
        if not finished:
            return {}
        alike = [run for run in finished if run.protocol == finished[-1].protocol]
        for run in alike:
            if run.number not in self._setups:
                self._setups[run.number] = setup_of(configuration(snapshot.history, run.number))
        return best_so_far(alike, self._setups)


def setup_of(configuration: Mapping[str, Any]) -> Setup:
    from handreid_tui.compare.finished_run import NOT_COMPARED

    trained = any(key.startswith("loss.") for key in configuration)
    beside = ("data.",) if trained else ("data.", "train.", "augment.")
    told = [(key, value) for key, value in sorted(configuration.items()) if key not in NOT_COMPARED]
    whole = [(key, value) for key, value in told if not key.startswith(beside)]
    encoder = [(key, value) for key, value in whole if key.startswith(("model.", "evaluation."))]
    return Setup(configuration.get("data.trials", 0), repr(whole), repr(encoder))


def best_so_far(runs: Sequence[RunRow], setups: Mapping[int, Setup]) -> dict[str, Best]:
    """The configuration of each combination that is best by validation, with as many trials as the last of these
    finished runs, which are of one protocol. Where nothing was validated, the latest."""
    groups: dict[str, dict[str, dict[int, RunRow]]] = {}
    for run in runs:
        if setups[run.number].trials == setups[runs[-1].number].trials:
            seeds = groups.setdefault(run.combo, {}).setdefault(setups[run.number].whole, {})
            seeds[run.seed] = run  # of runs that differ in nothing, the latest
    found = {
        combo: [(_rank(seeds.values()), _mean(seeds.values())) for seeds in by_setup.values()]
        for combo, by_setup in groups.items()
    }
    found.setdefault(UNTRAINED, []).extend(_before_training(groups, setups))
    data = f"{runs[-1].dataset.rpartition('/')[2]} {runs[-1].subset}"
    best = {combo: max(means)[1] for combo, means in found.items() if means}
    return {combo: Best(*mean, len(found[combo]), data) for combo, mean in best.items()}


def _before_training(
    groups: dict[str, dict[str, dict[int, RunRow]]], setups: Mapping[int, Setup]
) -> Iterable[tuple[Rank, Mean]]:
    """Where each model started, as its trained runs measured it first; not where a zero_shot run says it."""
    rows = [seeds for by_setup in groups.values() for seeds in by_setup.values()]
    known = {setups[run.number].encoder for seeds in groups.get(UNTRAINED, {}).values() for run in seeds.values()}
    started: dict[str, dict[int, RunRow]] = {}
    for seeds in rows:
        for seed in sorted(seeds):
            encoder = setups[seeds[seed].number].encoder
            if encoder not in known and seeds[seed].metrics["before_rank1"] is not None:
                started.setdefault(encoder, {}).setdefault(seed, seeds[seed])
    return [((-1.0, max(run.number for run in s.values())), _mean(s.values(), "before_")) for s in started.values()]


def _rank(runs: Collection[RunRow]) -> Rank:
    """What configurations are chosen by: the mean validation mAP, then the number of the latest run."""
    values = [value for run in runs if (value := run.metrics["best_val_mAP"]) is not None]
    return (fmean(values) if len(values) == len(runs) else -1.0), max(run.number for run in runs)


def _mean(runs: Iterable[RunRow], prefix: str = "") -> Mean:
    """rank-1 and mAP over the runs, and how many these are."""
    rank1, mAP = ([run.metrics[prefix + key] or 0.0 for run in runs] for key in ("rank1", "mAP"))
    return fmean(rank1), fmean(mAP), len(rank1)
