"""FNIR at FPIR as columns: also of runs whose trainer did not report it, with differences by person."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handreid_tui.compare import compare, render
from handreid_tui.compare.evaluation import Evaluation
from handreid_tui.compare.finished_run import FinishedRun
from handreid_tui.compare.resampling import resampling_weights
from handreid_tui.evidence.resamples import RESAMPLES
from handreid_tui.history import ingest, list_runs, open_history
from handreid_tui.history.filter import parse_filter
from handreid_tui.history.filter_values import matching
from tests.support.planted_runs import clusters, identities, plant
from tests.support.run_files import append

IDENTITY = identities(20)
KEY = "fnir_at_fpir_1e1"


def scores(evaluation: Evaluation) -> list[tuple[str, float, float]]:
    """Of each search its person, own score, and the best score of the others, one pair at a time."""
    found = []
    for trial in evaluation.trials:
        for q in trial.query:
            own, best = -np.inf, -np.inf
            for g in trial.gallery:
                score = float(evaluation.features[q].astype(float) @ evaluation.features[g].astype(float))
                if evaluation.identity[q] == evaluation.identity[g]:
                    own = max(own, score)
                else:
                    best = max(best, score)
            found.append((str(evaluation.identity[q]), own, best))
    return found


def missed_at(found: list[tuple[str, float, float]], weight: dict[str, float], fpir: float) -> float:
    """FNIR of searches that count `weight` times, at the lowest threshold with FPIR at most `fpir`."""
    total = sum(weight[person] for person, _, _ in found)
    for threshold in [-np.inf, *(np.nextafter(best, 9) for best in sorted({best for _, _, best in found}))]:
        alarms = sum(weight[person] for person, _, best in found if best >= threshold)
        if alarms <= fpir * total + 1e-9:
            return sum(weight[person] for person, own, _ in found if own < threshold) / total
    raise AssertionError


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[FinishedRun]:
    folder = tmp_path_factory.mktemp("runs")
    spreads = {"ce": 0.9, "ce_triplet": 0.4}
    return [
        plant(folder, 10 * place + seed + 1, combo, clusters(IDENTITY, spread, 10 * place + seed), IDENTITY, seed)
        for place, (combo, spread) in enumerate(spreads.items())
        for seed in range(3)
    ]


def test_a_column_is_what_the_stored_scores_say_one_pair_at_a_time(runs):
    assert KEY not in runs[0].summary, "as of a run of handreid 0.1"
    ones = dict.fromkeys(IDENTITY.tolist(), 1.0)
    expected = [[missed_at(scores(run.evaluation), ones, fpir) for run in runs[:3]] for fpir in (0.1, 0.01)]
    row = next(row for row in compare(runs).sections[0].table.rows if row.label == "ce")
    for key, values in zip((KEY, "fnir_at_fpir_1e2"), expected, strict=True):
        assert row.metrics[key].mean == pytest.approx(np.mean(values))
        assert row.metrics[key].std == pytest.approx(np.std(values, ddof=1))


def test_resamples_of_the_people_find_the_threshold_anew(runs):
    found, people = scores(runs[0].evaluation), sorted(set(IDENTITY.tolist()))
    drawn = resampling_weights(len(people), RESAMPLES, 0)[:40]
    expected = [missed_at(found, dict(zip(people, row.tolist(), strict=True)), 0.1) for row in drawn]
    assert runs[0].open_set is not None
    assert runs[0].open_set.replicates[:40] == pytest.approx(np.array(expected), abs=1e-3)


def test_less_is_better_and_the_interval_is_that_of_the_people(runs):
    pair = [run for run in runs if run.seed == 0]
    row = next(row for row in compare(pair).sections[0].table.rows if row.label == "ce_triplet")
    one = row.compared[KEY]
    assert one.verdict == "better" and one.difference.estimate < 0
    assert compare(pair, baseline="ce_triplet").sections[0].table.rows[0].compared[KEY].verdict == "worse"
    ours, theirs = (run.open_set.replicates.astype(float) for run in reversed(pair))
    people = len(set(IDENTITY.tolist()))
    half = 2.093024 * np.std(ours - theirs) * np.sqrt(people / (people - 1))  # t, 19 degrees of freedom
    assert (one.difference.high - one.difference.low) / 2 == pytest.approx(half, rel=1e-5)


def test_tables_and_exports_hold_it(runs):
    comparison = compare(runs)
    shown = str(render(comparison, "markdown"))
    assert "| FNIR (FPIR 0.1) % | FNIR (FPIR 0.01) % |" in shown and "Δ FNIR (FPIR 0.1)" in shown
    told = json.loads(str(render(comparison, "json")))["protocols"][0]["rows"]
    assert {KEY, "fnir_at_fpir_1e2"} <= told[0]["metrics"].keys() and any(KEY in row["differences"] for row in told)
    lines = list(csv.DictReader(io.StringIO(str(render(comparison, "csv")))))
    assert float(lines[0][f"{KEY}_mean"]) > 0 and lines[1][f"difference_{KEY}_verdict"] == "better"


def test_runs_tested_on_other_people_have_no_difference(runs, tmp_path):
    others = identities(19)
    other = plant(tmp_path, 90, "ce_arcface", clusters(others, 0.5), others)
    rows = compare([runs[0], other]).sections[0].table.rows
    assert not any(row.compared for row in rows)
    alone = replace(runs[3], known_open_set=None)
    assert alone.open_set is not None


def test_the_history_has_it_of_runs_that_were_there_already(tmp_path: Path):
    run = plant(tmp_path / "runs", 1, "ce", clusters(IDENTITY, 0.8), IDENTITY)
    append(run.directory, {"kind": "evaluation", "stage": "final", "step": 40, "mAP": run.summary["mAP"]})
    damaged = plant(tmp_path / "runs", 2, "ce", clusters(IDENTITY, 0.8), IDENTITY, 1)
    append(damaged.directory, {"kind": "evaluation", "stage": "final", "step": 40, "mAP": 0.5})
    (damaged.directory / "evaluation" / "features.safetensors").write_bytes(b"nothing")
    history = open_history(tmp_path / "runs.db")
    ingest(history, tmp_path / "runs")
    rows = {row.number: row for row in list_runs(history)}
    ones = dict.fromkeys(IDENTITY.tolist(), 1.0)
    assert rows[1].metrics[KEY] == pytest.approx(missed_at(scores(run.evaluation), ones, 0.1))
    assert rows[2].metrics[KEY] is None and rows[2].metrics["mAP"] == 0.5
    assert [row.number for row in matching(rows, parse_filter(f"{KEY}>0"), {})] == [1]
    history.dispose()
