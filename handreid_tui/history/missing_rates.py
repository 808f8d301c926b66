"""Metrics of a final report that its trainer did not know yet, from the features that it stored."""

from __future__ import annotations

from pathlib import Path

from engine.contract.errors import UserError
from handreid_tui.history.fold import STAGES, Segment

REPORTED, MISSING = (f"{STAGES['final']}/{key}" for key in ("mAP", "fnir_at_fpir_1e1"))


def add_missing_rates(run: Path, segments: list[Segment]) -> None:
    """Add the open-set rates to a final report without them, at its step; none where the evaluation is damaged."""
    for segment in segments:
        if REPORTED in segment.points and MISSING not in segment.points:
            steps, _ = segment.points[REPORTED]
            for key, value in _rates(run).items():
                segment.points[f"{STAGES['final']}/{key}"] = (steps[-1:], [value if value == value else None])


def _rates(run: Path) -> dict[str, float]:
    from engine.search.open_set import open_set_metrics  # late: numpy takes its time, and few runs need it
    from handreid_tui.compare.evaluation import read_evaluation

    try:
        evaluation = read_evaluation(run)
        return open_set_metrics(evaluation.features.astype(float), evaluation.identity, evaluation.trials)
    except UserError:
        return {}
