"""Figures kept in the history spare reading the reports again, and never stand against the run directory."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sqlalchemy import Engine

from engine.contract.errors import UserError
from engine.contract.run_files import EVALUATION
from engine.contract.run_files import FEATURES as FEATURES_FILE
from handreid_tui.compare import compare, compare_history, render, report_cache
from handreid_tui.compare.finished_run import read_run
from handreid_tui.history import ingest, open_history, rebuild, schema
from tests.support.planted_runs import clusters, identities, plant

IDENTITY = identities(10)
FEATURES = f"{EVALUATION}/{FEATURES_FILE}"


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files made a moment ago count as old: nothing in these tests writes a file twice within a tick of its clock."""
    monkeypatch.setattr(report_cache, "SETTLED", 0)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    for number in range(6):
        combo = ("ce", "ce_triplet")[number % 2]
        plant(folder, number + 1, combo, clusters(IDENTITY, 0.8, number), IDENTITY, number // 2)
    return folder


def answer(history: Engine) -> str:
    return str(render(compare_history(history), "json"))


def fresh_answer(runs: Path, db: Path) -> str:
    """The answer of a history that remembers nothing."""
    history = open_history(db)
    ingest(history, runs)
    shown = answer(history)
    history.dispose()
    return shown


@pytest.fixture
def history(runs: Path, settled: None) -> Engine:
    """It has answered once, so that it holds the figures of every run."""
    history = open_history(runs.parent / "runs.db")
    ingest(history, runs)
    answer(history)
    return history


def kept(history: Engine) -> int:
    with schema.reading(history) as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM report").scalar_one())


def test_the_second_answer_is_the_first_word_for_word(history, runs, tmp_path):
    assert kept(history) == 6
    assert answer(history) == fresh_answer(runs, tmp_path / "other.db")


def forge(history: Engine) -> None:
    """Other figures in the rows than in the directories: whoever shows them has not read the directories."""
    with schema.writing(history) as connection:
        connection.exec_driver_sql("UPDATE report SET summary = json_set(summary, '$.mAP', 0.123)")


def metric(shown: str, combo: str) -> float:
    rows = json.loads(shown)["protocols"][0]["rows"]
    return float(next(row for row in rows if row["combo"] == combo)["metrics"]["mAP"]["mean"])


def test_the_second_answer_reads_no_report(history):
    forge(history)
    assert metric(answer(history), "ce") == pytest.approx(0.123)


@pytest.mark.parametrize("name", report_cache.FILES)
def test_a_file_written_again_is_read_again(history, runs, tmp_path, name):
    forge(history)
    for run in runs.glob("0*"):
        content = (run / name).read_bytes()
        (run / name).unlink()
        (run / name).write_bytes(content)
    assert answer(history) == fresh_answer(runs, tmp_path / "other.db")


def test_a_file_of_the_same_size_and_time_of_change_is_read_again(history, runs, tmp_path):
    path = runs / "0002-ce_triplet" / "evaluation" / "trials.safetensors"
    before, arrays = path.stat(), load_file(path)
    first = answer(history)
    save_file({name: np.roll(values, 1) if "/ap" in name else values for name, values in arrays.items()}, path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert answer(history) != first
    assert answer(history) == fresh_answer(runs, tmp_path / "other.db")


def test_figures_of_files_that_may_change_in_the_same_tick_are_not_kept(runs):
    history = open_history(runs.parent / "runs.db")
    ingest(history, runs)
    answer(history)
    assert kept(history) == 0


def test_a_rebuilt_history_gives_the_same_answer(history, runs):
    first = answer(history)
    history.dispose()
    for file in runs.parent.glob("runs.db*"):
        file.unlink()
    rebuild(runs.parent / "runs.db", runs)
    again = open_history(runs.parent / "runs.db")
    assert answer(again) == first
    rebuild(runs.parent / "runs.db", runs)
    assert kept(again) == 0
    assert answer(again) == first


def test_a_removed_run_is_forgotten_here_too(history, runs):
    (runs / "0001-ce" / "config.json").unlink()
    (runs / "0001-ce").rename(runs.parent / "elsewhere")
    ingest(history, runs)
    assert kept(history) == 5


def test_a_damaged_evaluation_is_read_again_each_time_and_says_so(history, runs):
    (runs / "0002-ce_triplet" / "evaluation" / "trials.safetensors").write_bytes(b"\x00" * 40)
    for _ in range(2):
        assert "is damaged" in answer(history)


def test_a_history_that_cannot_grow_answers_all_the_same(runs, settled, tmp_path):
    history = open_history(runs.parent / "runs.db")
    ingest(history, runs)
    with schema.writing(history) as connection:  # SQLite's own limit stands in for the disk's
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    assert answer(history) == fresh_answer(runs, tmp_path / "other.db")
    assert kept(history) == 0


def test_several_processes_at_once_give_one_answer(runs, tmp_path):
    code = (
        "import sys; from pathlib import Path; from handreid_tui.compare import report_cache, compare_history, render;"
        "from handreid_tui.history import ingest, open_history; report_cache.SETTLED = 0; report_cache.AT_ONCE = 1;"
        "history = open_history(Path(sys.argv[1])); ingest(history, Path(sys.argv[2]));"
        "print(render(compare_history(history), 'json'), end='')"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "runs.db"), str(runs)]
    started = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    answers = {process.communicate()[0] for process in started}
    assert answers == {fresh_answer(runs, tmp_path / "other.db")}
    with sqlite3.connect(tmp_path / "runs.db") as db:
        assert db.execute("SELECT count(*) FROM report").fetchone() == (6,)


@pytest.mark.parametrize("name", [name for name in report_cache.FILES if name != FEATURES])
def test_no_pipe_is_waited_for_and_no_link_followed(runs, name):
    path = runs / "0001-ce" / name
    path.rename(runs / "elsewhere")
    os.mkfifo(path)
    with pytest.raises(UserError):
        _ = read_run(runs / "0001-ce").scores
    path.unlink()
    path.symlink_to(runs / "elsewhere")
    with pytest.raises(UserError):
        _ = read_run(runs / "0001-ce").scores


def test_a_run_without_features_is_compared_by_what_needs_none(runs):
    path = runs / "0001-ce" / FEATURES
    path.unlink()
    os.mkfifo(path)
    run = read_run(runs / "0001-ce")
    with pytest.raises(UserError):
        _ = run.open_set
    (row,) = compare([run]).sections[0].table.rows
    assert "mAP" in row.metrics and "fnir_at_fpir_1e1" not in row.metrics
