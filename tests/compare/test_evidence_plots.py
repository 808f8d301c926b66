"""Figures of the evidence: DET, Tippett and cross-entropy, in `plot` and in the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.contract.errors import UserError
from handreid_tui.compare.evidence_curves import det, entropy, tippett
from handreid_tui.compare.plots import PLOTS, save_plot
from handreid_tui.compare.table import compare_runs
from tests.support.planted_runs import clusters, identities, plant


def test_curves_go_the_way_they_must(tmp_path: Path) -> None:
    people = identities(30)
    evaluation = plant(tmp_path, 1, "ce", clusters(people, 0.6), people).evaluation
    errors = det(evaluation)
    assert (np.diff(errors.fnir) <= 1e-12).all()
    assert (errors.low <= errors.fnir).all() and (errors.fnir <= errors.high).all()
    shares = tippett(evaluation)
    assert (shares.same >= shares.different - 1e-12).all()
    assert (np.diff(shares.same) <= 1e-12).all()
    costs = entropy(evaluation)
    assert (costs.best <= costs.calibrated + 1e-9).all()
    assert costs.neutral.max() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("kind", ["det", "tippett", "ece"])
def test_a_figure_is_written(tmp_path: Path, kind: str) -> None:
    people = identities(24)
    runs = [plant(tmp_path, n, combo, clusters(people, 0.7 / n), people) for n, combo in ((1, "ce"), (2, "ce_triplet"))]
    (table,) = compare_runs(runs, "run", resamples=100)
    path = save_plot(None, table.rows, kind, tmp_path / f"{kind}.svg")
    assert b"</svg>" in path.read_bytes()
    assert kind in PLOTS


def test_too_few_people_are_an_error_that_the_report_shows(tmp_path: Path) -> None:
    people = identities(12)
    with pytest.raises(UserError, match="12 people with enough images"):
        tippett(plant(tmp_path, 1, "ce", clusters(people, 0.6), people).evaluation)
