"""What `compare` promises of its tables, on runs with planted embeddings."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import load_file

from engine.contract.errors import UserError
from handreid_tui.compare import FORMATS, compare, render
from handreid_tui.compare.finished_run import FinishedRun
from handreid_tui.compare.sheets import sheets
from tests.support.planted_runs import TRIALS, clusters, identities, plant

IDENTITY = identities()
NO_BASELINE = ((1, "ce_triplet"), (2, "ce_arcface"))
BEFORE = {"rank1": 0.3, "rank5": 0.5, "rank10": 0.6, "mAP": 0.35, "mINP": 0.3, "eer": 0.3}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[FinishedRun]:
    """Four combinations, three seeds each; only ce_triplet is truly better than ce."""
    folder = tmp_path_factory.mktemp("runs")
    planted, number = [], 0
    for place, (combo, spread) in enumerate(
        [("ce", 1.0), ("ce_triplet", 0.6), ("ce_triplet_center", 0.6), ("ce_arcface", 1.0)]
    ):
        for seed in range(3):
            number += 1
            features = clusters(IDENTITY, spread, seed=10 * place + seed)
            planted.append(plant(folder, number, combo, features, IDENTITY, seed, before=BEFORE))
    return planted


def test_the_table_has_a_row_per_combination_with_zero_shot_first(runs):
    (section,) = compare(runs).sections
    labels = [row.label for row in section.table.rows]
    assert labels == ["zero_shot", "ce", "ce_triplet", "ce_triplet_center", "ce_arcface"]
    zero_shot, ce = section.table.rows[:2]
    assert zero_shot.metrics["mAP"].mean == pytest.approx(0.35)
    assert ce.baseline and not ce.compared and ce.seeds == 3


def test_the_numbers_can_be_recomputed_from_the_stored_features(runs):
    """Rank-1 and mAP of every row, and the difference, by an obvious loop over queries."""

    def scores(run: FinishedRun) -> tuple[float, float]:
        stored = load_file(run.directory / "evaluation" / "features.safetensors")
        trials = load_file(run.directory / "evaluation" / "trials.safetensors")
        hits, precisions = [], []
        for trial in range(TRIALS):
            query, gallery = trials[f"{trial:02}/query"], trials[f"{trial:02}/gallery"]
            hit, precision = [], []
            for q in query:
                order = np.argsort(-(stored["features"][gallery] @ stored["features"][q]))
                found = np.flatnonzero(stored["identity"][gallery][order] == stored["identity"][q])[0]
                hit.append(found == 0)
                precision.append(1 / (found + 1))
            hits.append(np.mean(hit))
            precisions.append(np.mean(precision))
        return float(np.mean(hits)), float(np.mean(precisions))

    rows = {row.label: row for row in compare(runs).sections[0].table.rows}
    by_combo = {name: np.array([scores(run) for run in rows[name].runs]) for name in ("ce", "ce_triplet")}
    for name, values in by_combo.items():
        assert rows[name].metrics["rank1"].mean == pytest.approx(values[:, 0].mean())
        assert rows[name].metrics["mAP"].mean == pytest.approx(values[:, 1].mean())
        assert rows[name].metrics["mAP"].std == pytest.approx(values[:, 1].std(ddof=1))
    gain = by_combo["ce_triplet"].mean(axis=0) - by_combo["ce"].mean(axis=0)
    compared = rows["ce_triplet"].compared
    assert compared["rank1"].difference.estimate == pytest.approx(gain[0])
    assert compared["mAP"].difference.estimate == pytest.approx(gain[1])


def test_a_true_gain_is_called_better_and_no_gain_not_distinguishable(runs):
    rows = {row.label: row for row in compare(runs).sections[0].table.rows}
    assert rows["ce_triplet"].compared["mAP"].verdict == "better"
    assert rows["ce_arcface"].compared["mAP"].verdict == "not distinguishable"
    reversed_rows = {row.label: row for row in compare(runs, baseline="ce_triplet").sections[0].table.rows}
    assert reversed_rows["ce"].compared["mAP"].verdict == "worse"


def test_verdicts_are_corrected_over_all_rows_and_metrics(runs):
    rows = compare(runs).sections[0].table.rows
    found = [one for row in rows for one in row.compared.values()]
    assert len(found) == 9
    smallest = min(found, key=lambda one: one.difference.p)
    assert smallest.p_adjusted == pytest.approx(min(1, 9 * smallest.difference.p))


def test_runs_of_different_protocols_never_share_a_table(runs, tmp_path):
    features = clusters(IDENTITY, 0.5)
    other = [
        plant(tmp_path, 50, "ce", features, IDENTITY, started={"gallery": "all"}),
        plant(tmp_path, 51, "ce", features, IDENTITY, started={"fingerprint": "beef" * 4}),
        plant(tmp_path, 52, "ce", features, IDENTITY, started={"subset": "palmar-left"}),
    ]
    sections = compare([*runs, *other]).sections
    assert len(sections) == 4
    assert sorted(sum(len(row.runs) for row in section.table.rows) for section in sections) == [1, 1, 1, 12]


def test_runs_that_differ_in_more_than_the_seed_stand_in_rows_of_their_own(runs, tmp_path):
    features = clusters(IDENTITY, 0.8, seed=70)
    others = [
        plant(tmp_path, 60 + seed, combo, features, IDENTITY, seed, **{"train.lr": 1e-4})
        for combo in ("ce", "ce_triplet")
        for seed in range(2)
    ]
    rows = {row.label: row for row in compare([*runs, *others]).sections[0].table.rows}
    assert {"ce lr=1e-3", "ce lr=1e-4", "ce_triplet lr=1e-3", "ce_triplet lr=1e-4"} <= set(rows)
    assert rows["ce lr=1e-3"].seeds == 3 and rows["ce lr=1e-4"].seeds == 2
    against = rows["ce_triplet lr=1e-4"].compared["mAP"].baseline
    assert against == "ce lr=1e-4", "the baseline is the one with the same settings"
    assert rows["ce_triplet lr=1e-3"].compared["mAP"].baseline == "ce lr=1e-3"
    other = compare([*runs, *others], baseline="ce_triplet lr=1e-4").sections[0].table
    assert {row.label for row in other.rows if row.baseline} == {"ce_triplet lr=1e-4"}


def test_the_device_and_the_number_of_threads_do_not_split_a_row(tmp_path):
    features = clusters(IDENTITY, 0.8)
    planted = [plant(tmp_path, n, "ce", features, IDENTITY, n, device="cpu", threads=n + 1) for n in range(2)]
    assert [row.seeds for row in compare(planted).sections[0].table.rows] == [2]


def test_only_common_seeds_are_compared_and_without_one_it_is_said(tmp_path):
    planted = [plant(tmp_path, n, "ce", clusters(IDENTITY, 0.8, n), IDENTITY, n) for n in range(3)]
    planted += [plant(tmp_path, 10 + n, "ce_triplet", clusters(IDENTITY, 0.7, n), IDENTITY, n) for n in (2, 3)]
    planted += [plant(tmp_path, 20 + n, "ce_arcface", clusters(IDENTITY, 0.7, n), IDENTITY, n) for n in (7, 8)]
    table = compare(planted).sections[0].table
    rows = {row.label: row for row in table.rows}
    assert rows["ce_triplet"].compared["mAP"].difference.seeds == 1
    assert not rows["ce_arcface"].compared
    assert any("ce_arcface" in note and "no seed in common" in note for note in table.notes)


def test_an_untrained_run_is_compared_with_every_seed(tmp_path):
    planted = [plant(tmp_path, n, "ce", clusters(IDENTITY, 0.5, n), IDENTITY, n) for n in range(3)]
    planted.append(plant(tmp_path, 9, "zero_shot", clusters(IDENTITY, 1.2, 9), IDENTITY))
    zero_shot, ce = compare(planted).sections[0].table.rows
    assert zero_shot.compared["mAP"].difference.seeds == 3
    assert zero_shot.compared["mAP"].verdict == "worse"
    assert ce.baseline


def test_the_test_over_seeds_is_shown_where_six_seeds_allow_it_and_explained_where_not(tmp_path):
    planted = [
        plant(tmp_path, 10 * place + seed, combo, clusters(IDENTITY, spread, 10 * place + seed), IDENTITY, seed)
        for place, (combo, spread) in enumerate([("ce", 1.0), ("ce_triplet", 0.6)])
        for seed in range(6)
    ]
    assert "Over the seeds alone, uncorrected: ce_triplet mAP p = 0.031" in drawn(compare(planted), "markdown")
    few = drawn(compare([run for run in planted if run.seed < 3]), "markdown")
    assert "cannot reach a verdict (its smallest p is 0.25)" in few and "Over the seeds alone" not in few


def test_without_the_baseline_zero_shot_takes_its_place_and_it_is_said(tmp_path):
    planted = [plant(tmp_path, 1, "ce_triplet", clusters(IDENTITY, 0.5, 1), IDENTITY)]
    planted.append(plant(tmp_path, 2, "zero_shot", clusters(IDENTITY, 1.2, 2), IDENTITY))
    table = compare(planted).sections[0].table
    assert [row.label for row in table.rows if row.baseline] == ["zero_shot"]
    assert any("no run of ce" in note for note in table.notes)


@pytest.mark.parametrize("format", ["table", "markdown"])
def test_the_note_on_a_missing_baseline_agrees_with_the_rows(format, tmp_path):
    planted = [plant(tmp_path, n, c, clusters(IDENTITY, 0.5, n), IDENTITY, before=BEFORE) for n, c in NO_BASELINE]
    told = " ".join(drawn(compare(planted), format).replace("\\", "").split())
    assert "zero_shot (before training)" in told
    missing = "No differences: this protocol has no run of ce or zero_shot."
    assert f"{missing} The row zero_shot is a report before training, without rankings. Run one, or" in told
    alone = [plant(tmp_path, n + 2, c, clusters(IDENTITY, 0.5, n), IDENTITY) for n, c in NO_BASELINE]
    told = " ".join(drawn(compare(alone, baseline="zero_shot"), format).replace("\\", "").split())
    assert "this protocol has no run of zero_shot. Run one, or choose another baseline." in told


def test_named_runs_stand_side_by_side_with_only_the_settings_that_differ(tmp_path):
    a = plant(tmp_path, 1, "ce", clusters(IDENTITY, 0.8, 1), IDENTITY)
    b = plant(tmp_path, 2, "ce", clusters(IDENTITY, 0.6, 2), IDENTITY, **{"train.lr": 1e-4})
    table = compare([a, b], by="run").sections[0].table
    assert [row.label for row in table.rows] == ["1 ce lr=1e-3 s0", "2 ce lr=1e-4 s0"]
    assert table.configuration == {"train.lr": [1e-3, 1e-4]}
    assert table.rows[1].compared["mAP"].baseline == "1 ce lr=1e-3 s0"


def test_a_damaged_evaluation_costs_its_interval_and_nothing_else(tmp_path):
    a = plant(tmp_path, 1, "ce", clusters(IDENTITY, 0.8, 1), IDENTITY)
    b = plant(tmp_path, 2, "ce_triplet", clusters(IDENTITY, 0.6, 2), IDENTITY)
    (b.directory / "evaluation" / "trials.safetensors").write_bytes(b"\x00" * 40)
    table = compare([a, b]).sections[0].table
    assert [row.label for row in table.rows] == ["ce", "ce_triplet"]
    assert any("is damaged" in note for note in table.notes)
    for format in FORMATS:
        assert drawn(compare([a, b]), format)


def test_no_run_and_no_such_baseline_are_said_in_a_sentence(runs):
    with pytest.raises(UserError, match="no finished run"):
        compare([])
    with pytest.raises(UserError, match="'mine'"):
        compare(runs, baseline="mine")


def drawn(comparison, format: str, width: int = 200) -> str:
    made = render(comparison, format)
    if isinstance(made, str):
        return made
    console = Console(width=width, record=True, file=io.StringIO(), color_system=None)
    console.print(made)
    return console.export_text()


def test_json_and_csv_hold_fractions_and_every_number(runs):
    comparison = compare(runs, claims=True, published=True)
    found = json.loads(drawn(comparison, "json"))
    row = next(row for row in found["protocols"][0]["rows"] if row["row"] == "ce_triplet")
    assert 0 < row["metrics"]["mAP"]["mean"] <= 1
    assert row["metrics"]["mAP"]["n"] == 3
    difference = row["differences"]["mAP"]
    assert difference["low"] < difference["estimate"] < difference["high"]
    assert [run["seed"] for run in row["runs"]] == [0, 1, 2]
    lines = {line["row"]: line for line in csv.DictReader(io.StringIO(drawn(comparison, "csv")))}
    assert float(lines["ce_triplet"]["mAP_mean"]) == row["metrics"]["mAP"]["mean"]
    assert lines["ce_triplet"]["difference_mAP_verdict"] == "better"


def test_tables_show_percent_and_the_best_in_bold(runs):
    comparison = compare(runs)
    table = comparison.sections[0].table
    best = next(row for row in table.rows if row.metrics["mAP"].mean == table.best("mAP"))
    shown = f"{100 * best.metrics['mAP'].mean:.1f} ± {100 * best.metrics['mAP'].std:.1f}"
    assert f"**{shown}**" in drawn(comparison, "markdown")
    assert "\\textbf{" + shown.replace("±", "$\\pm$") + "}" in drawn(comparison, "latex")
    assert "not distinguishable" in drawn(comparison, "markdown")


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_terminal_table_fits_its_width_and_cuts_nothing(runs, width):
    text = drawn(compare(runs), "table", width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "ce_triplet_center" in text


def test_every_markdown_row_has_the_headers_cells(runs):
    for block in drawn(compare(runs, claims=True), "markdown").split("\n\n"):
        if block.startswith("|"):
            cells = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(cells) == 1, block


def test_latex_escapes_what_latex_would_read(tmp_path):
    planted = [plant(tmp_path, 1, "ce", clusters(IDENTITY, 0.8), IDENTITY, started={"dataset": r"a_b&50%#{x}$\^~"})]
    text = drawn(compare(planted), "latex")
    assert r"a\_b\&50\%\#\{x\}\$\textbackslash{}\textasciicircum{}\textasciitilde{}" in text
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_comparing_imports_no_torch():
    code = "import sys, handreid_tui.compare; sys.exit('torch' in sys.modules or 'scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


def test_each_row_tells_its_recipe_and_input_where_they_differ(tmp_path: Path) -> None:
    identity, features = np.repeat(np.array(["a", "b", "c"]), 4), np.random.default_rng(0).normal(size=(12, 8))
    systems: list[tuple[str, int, dict[str, Any]]] = [
        ("ce_triplet", 64, {}),
        ("mba_net", 324, {"model.image_size": 324, "train.lr": 8e-5, "train.epochs": 70}),
    ]
    runs = [
        plant(tmp_path, number, combo, features, identity, started={"image_size": size}, **settings)
        for number, (combo, size, settings) in enumerate(systems, 1)
    ]
    [recipes] = [sheet for sheet in sheets(compare(runs).sections[0]) if sheet.title == "Recipes"]
    told = {str(row[0]): dict(zip(recipes.headers, map(str, row), strict=True)) for row in recipes.rows}
    assert [told["ce_triplet"][key] for key in ("input", "branches", "epochs")] == ["64 px", "none", "40"]
    mba = told["mba_net"]
    assert [mba[key] for key in ("input", "branches", "epochs", "learning rate, encoder")] == [
        "324 px",
        "mba",
        "70",
        "8e-05",
    ]
    alike = compare([runs[0], plant(tmp_path, 3, "ce", features, identity, started={"image_size": 64})])
    assert "Recipes" not in [sheet.title for sheet in sheets(alike.sections[0])]
    assert "aspect" not in recipes.headers
    given = plant(tmp_path, 4, "ce", features, identity, started={"image_size": 64}, **{"model.aspect_embedding": 2.0})
    [recipes] = [sheet for sheet in sheets(compare([runs[0], given]).sections[0]) if sheet.title == "Recipes"]
    place = recipes.headers.index("aspect")
    assert {str(row[0]): str(row[place]) for row in recipes.rows} == {"ce": "2 x embedding", "ce_triplet": "none"}
