"""A metric is declared once, and found wherever metrics are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from engine.contract.metrics import METRICS, Metric, metric_columns, metrics_of
from engine.evaluation.geometry import geometry
from engine.evaluation.ranking import rank_queries, summarise, verification
from engine.search.open_set import open_set_metrics
from engine.search.searches import TrialRows
from tests.support.run_files import append, make_run

ROOT = Path(__file__).parents[2]
FRESH = 'Metric("fresh", "fresh rate", "a test", "lower", "fraction", "report", REPORT, 1),'


def documented(metric: Metric) -> str:
    curves = ", ".join(f"`{metric.curve(stage)}`" for stage in metric.stages)
    cells = (f"`{metric.key}`", metric.title, metric.about, metric.better or "–", metric.unit or "–", curves)
    return f"| {' | '.join(cells)} |"


def test_the_documentation_lists_the_metrics_as_declared() -> None:
    expected = "\n".join(map(documented, METRICS))
    assert expected in (ROOT / "docs" / "architecture.md").read_text(), f"docs/architecture.md needs:\n{expected}"


def test_the_engine_computes_the_declared_metrics() -> None:
    features = torch.nn.functional.normalize(torch.randn(12, 4, generator=torch.Generator().manual_seed(0)))
    identity = torch.arange(12) % 3
    pairs = features[:6], features[6:], identity[:6], identity[6:]
    report = summarise(rank_queries(*pairs)).keys() | verification(*pairs).keys()
    trial = TrialRows(np.arange(6), np.arange(6, 12))
    report |= open_set_metrics(features.double().numpy(), identity.numpy().astype(str), [trial]).keys()
    assert report - {"queries_without_match"} == {metric.key for metric in metrics_of("report")}
    assert list(geometry(features, identity)) == [metric.key for metric in metrics_of("geometry")]


def test_columns_have_unique_names_and_curves() -> None:
    columns = metric_columns()
    assert len({(column.curve, column.part) for column in columns.values()}) == len(columns)
    assert {"mAP", "val_mAP", "best_val_mAP", "test_geometry_hard_gap", "geometry_hard_gap", "total"} <= columns.keys()


def test_a_metric_is_added_in_one_place(tmp_path: Path) -> None:
    for package in ("engine", "handreid_tui"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    declared = tmp_path / "engine" / "contract" / "metrics.py"
    declared.write_text(declared.read_text().replace("METRICS = (\n", f"METRICS = (\n    {FRESH}\n"))
    runs = tmp_path / "runs"
    for fresh in (0.75, 0.25):
        evaluation = {"kind": "evaluation", "stage": "final", "step": 4, "fresh": fresh}
        append(make_run(runs), {"kind": "started", "t": 1.0}, evaluation, {"kind": "ended", "status": "finished"})

    def handreid(*words: str, path: Path = tmp_path) -> str:
        command = [sys.executable, "-P", "-m", "handreid_tui", *words, "--runs", str(runs)]
        environment = os.environ | {"PYTHONPATH": str(path), "COLUMNS": "200"}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    assert "fresh" not in handreid("runs", path=ROOT)  # a database without the column: it is made again
    assert {run["number"]: run["fresh"] for run in json.loads(handreid("runs", "--json"))} == {1: 0.75, 2: 0.25}
    assert [run["number"] for run in json.loads(handreid("runs", "--json", "-f", "fresh>50"))] == [1]
    assert [word for word in handreid("runs").split() if word in ("75.0", "25.0")] == ["25.0", "75.0"]
    shown = handreid("show", "1")
    assert [line.split()[-1] for line in shown.splitlines() if line.startswith("fresh rate")] == ["75.0"]
    check = "import tests.contract.test_metrics as t; print(t.documented(t.METRICS[0]))"
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    command = [sys.executable, "-P", "-c", check]
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert made.stdout.startswith("| `fresh` | fresh rate | a test | lower | fraction | `pixels/fresh`, ")
