"""Which runs of the history a comparison takes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import Engine

from engine.contract.errors import UserError
from handreid_tui.compare import compare_history, finished_runs, render
from handreid_tui.history import archive, find_run, ingest, open_history
from tests.support.planted_runs import clusters, identities, plant

IDENTITY = identities(10)


@pytest.fixture
def history(tmp_path: Path) -> Engine:
    runs = tmp_path / "runs"
    runs.mkdir()
    for number, combo in enumerate(("ce", "ce_triplet", "ce_arcface"), 1):
        plant(runs, number, combo, clusters(IDENTITY, 0.8, number), IDENTITY)
    unfinished = plant(runs, 4, "ce", clusters(IDENTITY, 0.8, 4), IDENTITY, seed=1)
    events = unfinished.directory / "events.jsonl"
    events.write_text("".join(line for line in events.open() if '"ended"' not in line))
    shutil.rmtree(unfinished.directory / "evaluation")
    history = open_history(tmp_path / "runs.db")
    ingest(history, runs)
    return history


def test_without_names_all_finished_runs_are_compared_by_combination(history):
    comparison = compare_history(history)
    assert [row.label for row in comparison.sections[0].table.rows] == ["ce", "ce_triplet", "ce_arcface"]
    assert comparison.by == "combo"


def test_archived_runs_are_left_out_unless_they_are_named(history):
    archive(history, find_run(history, "2").number)
    assert {run.combo for run in finished_runs(history)[0]} == {"ce", "ce_arcface"}
    assert [run.number for run in finished_runs(history, ["2"])[0]] == [2]


def test_named_runs_stand_side_by_side_each_once(history):
    comparison = compare_history(history, ["0003", "1", "3"])
    assert [row.label for row in comparison.sections[0].table.rows] == ["3 ce_arcface s0", "1 ce s0"]
    assert comparison.by == "run"


def test_a_run_that_is_not_finished_cannot_be_named(history):
    with pytest.raises(UserError, match=r"Run 4 .* only a finished run can be compared"):
        compare_history(history, ["4"])
    with pytest.raises(UserError, match="no run '77'"):
        compare_history(history, ["77"])


def test_a_run_whose_files_are_gone_is_left_out_and_named(history):
    shutil.rmtree(find_run(history, "2").path / "evaluation")
    comparison = compare_history(history)
    assert [row.label for row in comparison.sections[0].table.rows] == ["ce", "ce_arcface"]
    assert any("0002-ce_triplet" in note for note in comparison.notes)
    assert "0002-ce_triplet" in render(comparison, "markdown")
