"""How much a row of a comparison was tuned: rows of unequal tuning are never called better or worse than each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from engine.contract.errors import UserError
from handreid_tui.compare.configuration import show
from handreid_tui.compare.search_variation import FEWEST_TRIALS, Noise, SearchError, search_error

if TYPE_CHECKING:
    from handreid_tui.compare.finished_run import FinishedRun


@dataclass(frozen=True)
class Tuning:
    """From how many trials a row was chosen, how, and on how many folds of held-out people; 0: images of trained ones.

    sweep: its number, 0 for the best of a plain grid. validation: the winner's mAP in the search, optimistic;
    other_folds: its mean on people that the search did not see. at_edge: settings at the edge of their range. search:
    how much another search would differ, None where its trials cannot say.
    """

    sweep: int
    trials: int
    method: str
    folds: int
    values: dict[str, Any]
    validation: float | None = None
    other_folds: float | None = None
    at_edge: tuple[str, ...] = ()
    search: SearchError | None = None

    @property
    def label(self) -> str:
        """What is added to the name of a row."""
        return f"tuned, sweep {self.sweep}" if self.sweep else f"1 of {self.trials} by validation"

    @property
    def effort(self) -> tuple[int, str, int]:
        """Equal for rows that may be called better or worse than each other."""
        return self.trials, self.method, self.folds

    @property
    def chosen(self) -> str:
        """The values, as a person writes them."""
        return ", ".join(f"{key}={show(value)}" for key, value in self.values.items())

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"at_edge": list(self.at_edge), "number_of_values": len(self.values)}


def no_verdict(ours: Tuning | None, theirs: Tuning | None) -> str:
    """Why nothing may be claimed of the difference between two rows, "" where it may."""
    if reason := unequal(ours, theirs):
        return reason
    if not (ours and theirs) or (ours.search and theirs.search):
        return ""
    if ours.method.startswith("bayes"):
        return "searched by bayes (another search may differ by an unknown amount)"
    return f"too few trials (at least {FEWEST_TRIALS} are needed)"


def unequal(ours: Tuning | None, theirs: Tuning | None) -> str:
    """The word on a difference between rows of unequal tuning, "" where they are equal."""
    if (ours and ours.effort) == (theirs and theirs.effort):
        return ""
    counts = [tuning.trials if tuning else 0 for tuning in (ours, theirs)]
    if counts[0] == counts[1]:
        return f"tuned unequally ({counts[0]} trials each, by other methods or folds)"
    return f"tuned unequally ({counts[0]} and {counts[1]} trials)"


def best_by_validation(runs: Sequence[FinishedRun]) -> list[FinishedRun]:
    """Of each combination the configuration with the best mean validation mAP, marked with how many it was chosen from.

    Raises UserError where a run has no validation to choose by.
    """
    kept: list[FinishedRun] = [run for run in runs if run.tuning or not run.trained]
    groups: dict[tuple[Any, str], dict[str, list[FinishedRun]]] = {}
    for run in runs:
        if not run.tuning and run.trained:
            groups.setdefault((run.protocol, run.combo), {}).setdefault(run.setup, []).append(run)
    for setups in groups.values():
        means = {setup: fmean(map(_validation, alike)) for setup, alike in setups.items()}
        best = max(means, key=lambda setup: means[setup])
        chosen = setups[best]
        if len(setups) > 1:
            settings = [alike[0].settings for alike in setups.values()]
            varied = [key for key in settings[0] if any(other.get(key) != settings[0][key] for other in settings)]
            values = {key: chosen[0].settings[key] for key in varied}
            error = search_error(list(means.values()), Noise())
            tuning = Tuning(0, len(setups), "grid", 0, values, validation=means[best], search=error)
            chosen = [replace(run, tuning=tuning) for run in chosen]
        kept += chosen
    return sorted(kept, key=lambda run: run.number)


def tuning_notes(tunings: Sequence[tuple[str, Tuning | None]]) -> list[str]:
    """What a reader must know of rows, given by label, that were tuned."""
    known = [(label, tuning) for label, tuning in tunings if tuning]
    if not known:
        return []
    estimated = all(tuning.search for _, tuning in known)
    notes = [
        "Intervals between tuned rows include how much another search's result would differ, estimated from the trials."
        if estimated
        else "Intervals of tuned rows are about the settings found: another search could find others."
    ]
    notes += [
        f"{label}: {', '.join(tuning.at_edge)} at the edge of the range; a wider one might hold a better value."
        for label, tuning in known
        if tuning.at_edge
    ]
    return notes


def _validation(run: FinishedRun) -> float:
    if run.validation is None:
        raise UserError(f"Run {run.number} ({run.name}) has no validation to choose by: leave out --select.")
    return run.validation
