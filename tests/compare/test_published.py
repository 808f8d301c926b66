"""Published rows stand only beside runs of their own protocol, with the average precision that they used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from handreid_tui.compare import compare, render
from handreid_tui.compare.finished_run import FinishedRun
from handreid_tui.compare.published import SIZES, published_rows
from tests.support.planted_runs import plant


def run_of_size(tmp_path, queries: int, images: int, **started: str) -> FinishedRun:
    """A run whose trials have so many queries and gallery images."""
    identity = np.array([f"{i % 50}" for i in range(200)])
    features = np.eye(50, dtype=np.float32)[np.arange(200) % 50]
    run = plant(tmp_path, 1, "ce", features, identity, started=started)
    arrays = {}
    for trial in range(3):
        query = np.arange(queries) % 150 + 50
        arrays |= {f"{trial:02}/query": query, f"{trial:02}/gallery": np.arange(images) % 50}
        arrays[f"{trial:02}/rank"] = np.ones(queries, dtype=np.int64)
        arrays |= {f"{trial:02}/{name}": np.ones(queries) for name in ("ap", "ap_trapezoid", "inp")}
    save_file(arrays, run.directory / "evaluation" / "trials.safetensors")
    return replace(run, summary=run.summary | {"mAP": 0.9, "mAP_trapezoid": 0.8})


def table_of(run: FinishedRun):
    return compare([run], published=True).sections[0].table


@pytest.mark.parametrize(("subset", "gallery"), [key for key in SIZES if key[0] != "hd" and key[1] == "all"])
def test_the_merged_gallery_of_the_full_data_set_gets_four_rows(tmp_path, subset, gallery):
    size = SIZES[subset, gallery]
    rows = published_rows(table_of(run_of_size(tmp_path, size.queries, size.gallery, subset=subset, gallery="all")))
    assert [row.method for row in rows] == ["GPA-Net", "RGA-Net", "ABD-Net", "MBA-Net"]
    assert {row.ap for row in rows} == {"trapezoidal"}


def test_the_own_gallery_gets_the_rows_that_used_it(tmp_path):
    rows = published_rows(table_of(run_of_size(tmp_path, 971, 71, subset="dorsal-right", gallery="own")))
    assert [row.method for row in rows] == ["CLIP ViT-B/16 zero-shot", "CLIP RN50 zero-shot", "CLIP-FH stage 2 v5"]
    assert {row.ap for row in rows} == {"standard"}
    assert "true label" in rows[-1].caution


def test_hd_gets_its_own_column(tmp_path):
    run = run_of_size(tmp_path, 1992, 1593, subset="all", gallery="all", format="hd")
    assert [(row.method, row.mAP) for row in published_rows(table_of(run))][-1] == ("MBA-Net", pytest.approx(0.9554))


@pytest.mark.parametrize(
    ("queries", "gallery", "subset", "kind"),
    [
        (970, 290, "dorsal-right", "all"),  # an image is missing
        (971, 71, "dorsal-right", "all"),
        (971, 290, "dorsal-right", "own"),
        (971, 290, "palmar-left", "all"),
        (60, 12, "dorsal-right", "own"),
    ],
)
def test_a_part_of_the_data_or_another_gallery_gets_none(tmp_path, queries, gallery, subset, kind):
    run = run_of_size(tmp_path, queries, gallery, subset=subset, gallery=kind)
    assert published_rows(table_of(run)) == ()
    assert "No published result" in render(compare([run], published=True), "markdown")


def test_trapezoidal_rows_are_compared_with_our_trapezoidal_figure(tmp_path):
    run = run_of_size(tmp_path, 971, 290, subset="dorsal-right", gallery="all")
    text = render(compare([run], published=True), "markdown")
    ours = next(line for line in text.splitlines() if line.startswith("| ce ") and "this comparison" in line)
    assert "80.0" in ours and "trapezoidal" in ours
    mba_net = next(line for line in text.splitlines() if line.startswith("| MBA-Net"))
    assert "97.45" in mba_net and "97.98" in mba_net and "Baisa" in mba_net
