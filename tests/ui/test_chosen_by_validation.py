"""Test results are shown, never chosen by: the stars go by validation."""

from __future__ import annotations

from pathlib import Path

import pytest

from handreid_tui.history import ingest, list_runs, open_history
from handreid_tui.ui.history_feed import Snapshot
from handreid_tui.ui.screens.runs.columns import USUAL, best_values
from tests.support.planted_runs import clusters, identities, plant
from tests.support.run_files import append

IDENTITY = identities(count=8, images=4)


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    """Three configurations of ce: the best by test is the worst by validation, and the latest is in the middle."""
    runs = tmp_path / "runs"
    for number, (spread, validated) in enumerate(((0.6, 0.5), (1.6, 0.9), (1.0, 0.7)), 1):
        run = plant(runs, number, "ce", clusters(IDENTITY, spread, number), IDENTITY, **{"train.epochs": number})
        shared = {"kind": "evaluation", "step": 40}
        append(run.directory, shared | {"stage": "validation", "mAP": validated, "rank1": validated})
        append(run.directory, shared | {"stage": "final"} | {key: run.summary[key] for key in ("rank1", "mAP")})
    history = open_history(tmp_path / "runs.db")
    ingest(history, runs)
    return Snapshot({run.number: run for run in list_runs(history)}, history=history)


def test_the_stars_of_test_columns_are_of_the_best_by_validation(snapshot: Snapshot) -> None:
    stars = best_values(snapshot.runs.values(), USUAL)
    protocol = snapshot.runs[2].protocol
    assert stars[protocol, "mAP"] == snapshot.runs[2].metrics["mAP"]
    assert stars[protocol, "best_val_mAP"] == 0.9
