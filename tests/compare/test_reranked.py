"""Re-ranked runs are never in one table with others, and their galleries are shown as they were ranked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from engine.contract import run_files
from engine.search.rerank import rerank
from handreid_tui.compare import compare, compare_history, render
from handreid_tui.compare.evaluation import read_evaluation
from handreid_tui.compare.query_ranking import rank_gallery
from handreid_tui.compare.report import write_report
from handreid_tui.history import ingest, list_runs, open_history
from tests.support.planted_runs import clusters, identities, plant

IDENTITY = identities(12)


def test_tables_reports_and_stars_keep_them_apart(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    planted = [
        plant(runs, number, "ce", clusters(IDENTITY, 0.8, number), IDENTITY, number % 2, **{"evaluation.rerank": flag})
        for number, flag in ((1, False), (2, False), (3, True), (4, True))
    ]
    sections = compare(planted).sections
    assert [[run.number for row in section.table.rows for run in row.runs] for section in sections] == [[2, 1], [4, 3]]
    titles = [section.table.protocol.title for section in sections]
    assert titles[1] == f"{titles[0]} · re-ranked"
    assert str(render(compare(planted), "markdown")).count("## planted") == 2
    history = open_history(tmp_path / "runs.db")
    ingest(history, runs)
    assert len(compare_history(history).sections) == 2, "with what the history remembers, too"
    assert len({row.protocol for row in list_runs(history)}) == 2
    write_report(history, tmp_path / "report.html")
    history.dispose()
    page = (tmp_path / "report.html").read_text()
    assert page.count(f"{titles[0]}</h2>") == page.count(f"{titles[1]}</h2>") == 1


def test_a_gallery_is_shown_in_the_order_that_was_ranked(tmp_path: Path) -> None:
    run = plant(tmp_path, 1, "ce", clusters(IDENTITY, 1.2), IDENTITY, **{"evaluation.rerank": True})
    summary = run.directory / run_files.EVALUATION / run_files.SUMMARY
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"rerank": True}))
    evaluation = read_evaluation(run.directory)
    trial = evaluation.trials[1]
    distance = rerank(evaluation.features[trial.query], evaluation.features[trial.gallery])
    ranked = rank_gallery(evaluation, trial, 5)
    assert np.array_equal(ranked.order, np.argsort(distance[5], kind="stable"))
    cosine = evaluation.features[trial.gallery] @ evaluation.features[trial.query[5]]
    assert np.array_equal(ranked.similarity, cosine) and not np.array_equal(ranked.order, np.argsort(-cosine))
