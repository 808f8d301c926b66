"""Stopping trials that fall behind: the median rule (Golovin et al. 2017, section 3.2.2), off by default.

A trial is stopped after an epoch at which its best validation so far is below the median of what the completed trials
of the same combination had reached by then. Not before eight of them are complete, nor before half of the epochs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from engine.contract import run_files
from engine.contract.events import EvaluationDone, RunStarted, read_events
from engine.contract.metrics import SELECTED_BY
from handreid_tui.runs.safe_files import is_file, write_json
from handreid_tui.sweeps.roles import TRIAL
from handreid_tui.sweeps.trials import SweepRun

COMPLETE_BEFORE = 8  # trials of the combination on the fold
SHARE_BEFORE = 0.5  # of the epochs

Curve = dict[int, float]


class ValidationCurves:
    """The validation mAP of runs by epoch. What was read of a run is not read again."""

    def __init__(self) -> None:
        self._read: dict[Path, tuple[int, Curve]] = {}

    def of(self, path: Path) -> Curve:
        offset, curve = self._read.get(path, (0, {}))
        while (chunk := read_events(path / run_files.EVENTS, offset)).end > offset:
            offset = chunk.end
            for event in chunk.events:
                if isinstance(event, RunStarted) and event.resumed_from is None:
                    curve = {}
                if isinstance(event, EvaluationDone) and event.stage == "validation" and event.epoch is not None:
                    value = (event.metrics or {}).get(SELECTED_BY, math.nan)
                    curve[event.epoch] = 0.0 if math.isnan(value) else value
        self._read[path] = offset, curve
        return curve


def is_pruned(path: Path) -> bool:
    return is_file(path / run_files.PRUNED)


def behind(runs: Iterable[SweepRun], curves: ValidationCurves, epochs: int) -> list[tuple[SweepRun, dict[str, Any]]]:
    """The running trials to stop, each with the reason that its pruned.json tells."""
    trials = [run for run in runs if run.task.role == TRIAL]
    found = []
    for run in (run for run in trials if run.status == "running"):
        task, curve = run.task, curves.of(run.path)
        epoch = max(curve, default=0)
        alike = [r for r in trials if (r.task.combo, r.task.fold) == (task.combo, task.fold) and r.status == "finished"]
        reached = [value for other in alike if (value := _best_by(curves.of(other.path), epoch)) is not None]
        value = _best_by(curve, epoch)
        if value is None or epoch < SHARE_BEFORE * epochs or epoch >= epochs or len(reached) < COMPLETE_BEFORE:
            continue
        if value < (middle := median(reached)):
            facts = {"epoch": epoch, "value": value, "median": middle, "count": len(reached)}
            found.append((run, {"t": round(time.time(), 3)} | facts))
    return found


def mark_pruned(path: Path, reason: dict[str, Any]) -> None:
    """Written before the stop: a trial that a user stopped has none."""
    write_json(path / run_files.PRUNED, reason)


def _best_by(curve: Curve, epoch: int) -> float | None:
    return max((value for at, value in curve.items() if at <= epoch), default=None)
