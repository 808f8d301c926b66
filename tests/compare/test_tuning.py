"""Tuned rows are told from untuned ones, and nothing is called better or worse across unequal tuning, in any format."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from engine.contract import run_files
from engine.contract.config import resolve
from engine.contract.errors import UserError
from handreid_tui.compare import FORMATS, compare, finished_runs, render
from handreid_tui.compare.finished_run import FinishedRun
from handreid_tui.compare.plots import save_plot
from handreid_tui.compare.report import write_report
from handreid_tui.compare.search_variation import SearchError
from handreid_tui.compare.tuned_runs import with_tuning
from handreid_tui.compare.tuning import Tuning, best_by_validation, no_verdict, unequal
from handreid_tui.history import ingest, open_history
from handreid_tui.sweeps.plan_file import FOLDS, TRIAL_SEED, SweepPlan, changing_sweeps
from handreid_tui.sweeps.roles import CONFIRM, SHORTLIST, TRIAL
from handreid_tui.sweeps.space import Dimension
from handreid_tui.sweeps.trials import TrialTask
from tests.support.planted_runs import clusters, identities, plant
from tests.support.run_files import append

IDENTITY = identities()
RATE = Dimension("train.lr", 1e-4, 1e-2, log=True)
POINTS = [{"train.lr": 1e-3}, {"train.lr": 9.9e-3}]


def sweep(runs: Path, number: int, first: int, combos: tuple[str, ...], spread: float, trials: int = 8) -> int:
    """A finished sweep whose second trial won, confirmed on three seeds; the next free number of a run."""
    bases = {combo: resolve(combo, **{"model.name": "handreid-tiny", "data.trials": 3}) for combo in combos}
    points = [*POINTS, *({"train.lr": 2e-3 + 1e-5 * n} for n in range(trials - 2))]
    plan = SweepPlan(
        number, 0.0, bases, {combo: [RATE] for combo in combos}, dict.fromkeys(combos, points), trials, shortlist=1,
        finished=True,
    )  # fmt: skip
    with changing_sweeps(runs, number):
        plan.write(runs)
    at = first
    for combo in combos:
        tasks = [TrialTask(TRIAL, combo, trial, 0, TRIAL_SEED) for trial in range(trials)]
        tasks += [TrialTask(SHORTLIST, combo, 1, fold, TRIAL_SEED) for fold in range(1, FOLDS)]
        for task in tasks:
            path = runs / f"{at:04}-{combo}"
            path.mkdir()
            plan.config(combo, points[task.trial], task.seed, task.fold).save(path / run_files.CONFIG)
            (path / run_files.SWEEP).write_text(json.dumps(task.as_json(number, points[task.trial])))
            value = {0: 0.8, 1: 0.9}.get(task.trial, 0.89) - 0.02 * task.fold
            summary = {"validation_mAP": value}
            append(path, {"v": 1, "t": 1.0, "kind": "started", "resumed_from": None})
            append(path, {"v": 1, "t": 2.0, "kind": "ended", "status": "finished", "summary": summary})
            at += 1
        for seed in range(3):
            features = clusters(IDENTITY, spread, seed=100 * number + 10 * combos.index(combo) + seed)
            run = plant(runs, at, combo, features, IDENTITY, seed, **points[1])
            task = TrialTask(CONFIRM, combo, 1, -1, seed)
            (run.directory / run_files.SWEEP).write_text(json.dumps(task.as_json(number, points[1])))
            at += 1
    return at


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untuned ce and ce_triplet, both tuned with 8 trials (much better), and ce_arcface tuned with 9."""
    runs = tmp_path_factory.mktemp("mixed") / "runs"
    at = 1
    for combo, spread in (("ce", 1.0), ("ce_triplet", 0.6)):
        for seed in range(3):
            plant(runs, at, combo, clusters(IDENTITY, spread, seed=at), IDENTITY, seed, **POINTS[0])
            at += 1
    at = sweep(runs, 1, at, ("ce", "ce_triplet"), 0.4)
    sweep(runs, 2, at, ("ce_arcface",), 0.2, trials=9)
    return runs


@pytest.fixture(scope="module")
def read(mixed: Path) -> tuple[list[FinishedRun], list[str]]:
    history = open_history(mixed.parent / "runs.db")
    ingest(history, mixed)
    return finished_runs(history)


def test_trials_take_no_part_and_confirmations_are_a_row(read: tuple[list[FinishedRun], list[str]]) -> None:
    runs, notes = read
    (section,) = compare(runs).sections
    labels = [row.label for row in section.table.rows]
    assert sorted(labels) == [
        "ce", "ce (tuned, sweep 1)", "ce_arcface (tuned, sweep 2)", "ce_triplet", "ce_triplet (tuned, sweep 1)",
    ]  # fmt: skip
    assert not notes
    tuning = next(row.tuning for row in section.table.rows if row.label == "ce (tuned, sweep 1)")
    assert tuning
    assert (tuning.trials, tuning.method, tuning.folds, tuning.values) == (8, "quasi", 1, POINTS[1])
    assert tuning.validation == pytest.approx(0.9)
    assert tuning.other_folds == pytest.approx(0.86)
    assert any("train.lr at the edge of the range" in note for note in section.table.notes)
    assert any("include how much another search's result would differ" in note for note in section.table.notes)


def test_nothing_is_better_or_worse_across_unequal_tuning(read: tuple[list[FinishedRun], list[str]]) -> None:
    (section,) = compare(read[0]).sections
    rows = {row.label: row.compared["mAP"] for row in section.table.rows if row.compared}
    assert rows["ce_triplet"].baseline == "ce"
    assert rows["ce_triplet"].verdict == "better"
    assert rows["ce_triplet (tuned, sweep 1)"].baseline == "ce (tuned, sweep 1)"
    assert rows["ce_triplet (tuned, sweep 1)"].verdict == "not distinguishable"
    for label, word in (
        ("ce (tuned, sweep 1)", "(8 and 0 trials)"),
        ("ce_arcface (tuned, sweep 2)", "(9 and 8 trials)"),  # of the tuned baselines, the one with equal settings
    ):
        assert rows[label].verdict is None
        assert rows[label].p_adjusted is None
        assert word in rows[label].unequal
    assert rows["ce (tuned, sweep 1)"].difference.low > 0  # the difference stays


def test_what_is_outside_does_not_count_for_holm(read: tuple[list[FinishedRun], list[str]]) -> None:
    untuned = [run for run in read[0] if not run.tuning]
    alone = compare(untuned).sections[0].table.rows
    beside = compare([*untuned, *(run for run in read[0] if run.combo == "ce_arcface")]).sections[0].table.rows
    p = [next(row.compared["mAP"].p_adjusted for row in rows if row.label == "ce_triplet") for rows in (alone, beside)]
    assert p[0] == p[1]


@pytest.mark.parametrize("format", FORMATS)
def test_no_format_says_better_or_worse_of_them(format: str, read: tuple[list[FinishedRun], list[str]]) -> None:
    """ce against tuned rows alone: every difference is unequal, so neither word may appear anywhere."""
    runs = [run for run in read[0] if (run.combo == "ce" and not run.tuning) or run.combo == "ce_arcface"]
    shown = render(compare(runs, claims=True), format)
    if not isinstance(shown, str):
        console = Console(width=200, record=True, file=io.StringIO())
        console.print(shown)
        shown = console.export_text()
    told = re.sub(r'"better": "(higher|lower)"', "", shown).replace("a wider one might hold a better value", "")
    assert not re.search(r"\b(better|worse)\b", told)
    assert "tuned unequally (9 and 0 trials)" in shown
    if format == "json":
        rows = json.loads(shown)["protocols"][0]["rows"]
        (tuned,) = [row for row in rows if row["tuning"]]
        assert tuned["differences"]["mAP"]["verdict"] is None
        assert tuned["tuning"]["number_of_values"] == 1
    if format == "csv":
        (tuned,) = [row for row in csv.DictReader(io.StringIO(shown)) if row["tuning_trials"]]
        assert (tuned["difference_mAP_verdict"], tuned["tuning_sweep"], tuned["tuning_trials"]) == ("", "2", "9")


def test_an_earlier_choice_does_not_count(mixed: Path, read: tuple[list[FinishedRun], list[str]]) -> None:
    run = next(run for run in read[0] if run.combo == "ce_arcface")
    raw = json.loads((run.directory / run_files.SWEEP).read_text())
    (run.directory / run_files.SWEEP).write_text(json.dumps(raw | {"trial": 0}))
    try:
        kept, notes = with_tuning([replace(run, tuning=None)])
        assert kept == []
        assert notes == ["Sweep 2 confirmed ce_arcface with two choices of settings: only the latest is shown."]
    finally:
        (run.directory / run_files.SWEEP).write_text(json.dumps(raw))


def test_equal_effort_is_trials_method_and_folds() -> None:
    one = Tuning(1, 24, "quasi", 1, {})
    assert not unequal(one, replace(one, sweep=2, values={"a": 1}, validation=0.9))
    assert not unequal(None, None)
    for changed in (replace(one, trials=23), replace(one, method="bayes"), replace(one, folds=4), None):
        assert unequal(one, changed)
        assert unequal(changed, one)


def test_nothing_is_claimed_where_the_search_cannot_say_how_much_another_would_differ() -> None:
    known = Tuning(1, 24, "quasi", 1, {}, search=SearchError(0.01, 6))
    assert not no_verdict(known, replace(known, sweep=2))
    assert not no_verdict(None, None)
    few = replace(known, trials=7, search=None)
    assert no_verdict(few, few) == "too few trials (at least 8 are needed)"
    bayes = replace(known, method="bayes", search=None)
    assert "searched by bayes" in no_verdict(bayes, bayes)
    assert no_verdict(known, None) == unequal(known, None)


def test_the_interval_between_tuned_rows_holds_what_another_search_would_find(
    read: tuple[list[FinishedRun], list[str]],
) -> None:
    tuned = [run for run in read[0] if run.tuning and run.tuning.sweep == 1]
    widths = []
    for runs in (tuned, [replace(run, tuning=replace(run.tuning, search=None)) for run in tuned if run.tuning]):
        (row,) = [row for row in compare(runs).sections[0].table.rows if row.compared]
        widths.append({metric: one.difference.high - one.difference.low for metric, one in row.compared.items()})
        assert (row.compared["mAP"].verdict is None) is (row.tuning is not None and row.tuning.search is None)
    assert all(widths[0][metric] > 1.5 * widths[1][metric] for metric in ("mAP", "rank1"))


def test_a_report_on_tuned_rows_has_the_curve_and_the_test_results(mixed: Path, tmp_path: Path) -> None:
    history = open_history(mixed.parent / "runs.db")
    ingest(history, mixed)
    comparison = write_report(history, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "Expected best validation" in text
    assert "Importance of settings" not in text  # it takes 96 trials
    assert "nothing is selected by them" in text
    rows = [row for row in comparison.sections[0].table.rows if row.tuning]
    assert all(f"{100 * row.metrics['mAP'].mean:.1f}" in text for row in rows)
    assert save_plot(history, rows, "tuning", tmp_path / "curve.svg").read_text().startswith("<?xml")
    with pytest.raises(UserError, match="96 trials"):
        save_plot(history, rows, "importance", tmp_path / "importance.svg")
    with pytest.raises(UserError, match="handreid tune"):
        save_plot(
            history, [row for row in comparison.sections[0].table.rows if not row.tuning], "tuning", tmp_path / "c.svg"
        )


def test_the_best_of_a_grid_by_validation_says_of_how_many(tmp_path: Path) -> None:
    grid = []
    for n, lr in enumerate((1e-3, 2e-3, 3e-3)):
        for seed in range(2):
            features = clusters(IDENTITY, 0.8, seed=seed)
            run = plant(tmp_path, 1 + 2 * n + seed, "ce_triplet", features, IDENTITY, seed, **{"train.lr": lr})
            grid.append(replace(run, validation=0.9 - abs(lr - 2e-3) + 0.01 * seed))
    plain = [plant(tmp_path, 9 + seed, "ce", clusters(IDENTITY, 1.2, seed=seed), IDENTITY, seed) for seed in range(2)]
    kept = best_by_validation([*grid, *(replace(run, validation=0.5) for run in plain)])
    assert [run.config.train.lr for run in kept if run.combo == "ce_triplet"] == [2e-3, 2e-3]
    (section,) = compare(kept).sections
    row = next(row for row in section.table.rows if row.combo == "ce_triplet")
    assert row.label == "ce_triplet (1 of 3 by validation)"
    assert row.compared["mAP"].verdict is None
    with pytest.raises(UserError, match="no validation to choose by"):
        best_by_validation(plain)
