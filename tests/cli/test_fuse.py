"""`handreid fuse`: one run from several, weights chosen by validation alone, and every reason to refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from engine.contract import run_files
from engine.contract.errors import UserError
from engine.data import synthetic
from handreid_tui.ui.screens.launch.again import again
from tests.cli.test_openset import handreid
from tests.support.training import small_config, train_in

FEATURES = f"{run_files.EVALUATION}/{run_files.FEATURES}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs 1 and 2 on one split, 3 on another division of the people, 4 without its model."""
    folder = tmp_path_factory.mktemp("fuse")
    synthetic.write(folder / "hands", train_identities=12, test_identities=8, images=4, seed=0, size=32)
    people = {"data__validation": "identities", "data__folds": 2}
    sizes = {"model__image_size": 32}
    train_in(folder / "runs" / "0001-ce", small_config("ce", folder / "hands", **people, **sizes))
    train_in(
        folder / "runs" / "0002-ce_triplet",
        small_config("ce_triplet", folder / "hands", **people, **sizes, train__epochs=4),
    )
    train_in(folder / "runs" / "0003-ce", small_config("ce", folder / "hands", **sizes))
    shutil.copytree(folder / "runs" / "0001-ce", folder / "runs" / "0004-ce")
    shutil.rmtree(folder / "runs" / "0004-ce" / run_files.BEST_CHECKPOINT)
    return folder


@pytest.fixture
def desk(place: Path, tmp_path: Path) -> Path:
    shutil.copytree(place / "runs", tmp_path / "runs")
    return tmp_path


def test_a_fusion_is_a_run_like_any_other(desk: Path) -> None:
    done = handreid("fuse", "1", "2", "--json", cwd=desk)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    weights = [each["weight"] for each in told["weights"]]
    assert sum(weights) == pytest.approx(1) and told["run"] == "0005-fused-ce-+-ce_triplet"
    _follows_the_weighted_scores(desk, told["run"])
    shown = json.loads(handreid("compare", "--json", cwd=desk).stdout)
    rows = {row["row"]: row for section in shown["protocols"] for row in section["rows"]}
    fused = rows["fused(ce + ce_triplet)"]
    assert fused["metrics"]["mAP"]["mean"] == pytest.approx(told["mAP"]) and "mAP" in fused["differences"]
    assert "chosen by validation mAP" in str(shown["protocols"])
    listed = {run["number"]: run for run in json.loads(handreid("runs", "--json", cwd=desk).stdout)}
    assert listed[5]["status"] == "finished" and listed[5]["rank1"] == pytest.approx(told["rank1"])
    assert listed[5]["best_val_mAP"] == pytest.approx(told["validation_mAP"])
    with pytest.raises(UserError, match=r"0005-.* is a fusion of trained runs"):
        again([desk / "runs" / told["run"]], [1])
    assert handreid("openset", "5", cwd=desk).returncode == 0
    done = handreid("fuse", "5", "1", cwd=desk)
    assert done.returncode == 2 and "is a fusion itself" in done.stderr


def _follows_the_weighted_scores(desk: Path, name: str) -> None:
    """Ranks of the fused run, from the scores of its members one query at a time."""
    summary = json.loads((desk / "runs" / name / run_files.EVALUATION / run_files.SUMMARY).read_text())
    members = [load_file(desk / "runs" / each / FEATURES)["features"] for each in ("0001-ce", "0002-ce_triplet")]
    fused = load_file(desk / "runs" / name / FEATURES)
    assert np.linalg.norm(fused["features"], axis=1) == pytest.approx(1, abs=1e-5)
    scores = [each @ each.T for each in (*members, fused["features"])]
    off = ~np.eye(len(scores[0]), dtype=bool)
    design = np.stack([each[off] for each in scores[:2]], axis=1).astype(float)
    shares, *_ = np.linalg.lstsq(design, scores[2][off].astype(float), rcond=None)
    assert design @ shares == pytest.approx(scores[2][off], abs=1e-5) and shares.sum() == pytest.approx(1, abs=1e-3)
    weight = [each["weight"] for each in summary["fusion"]["runs"]]
    assert all((share > 1e-4) == (each > 0) for share, each in zip(shares, weight, strict=True))


@pytest.mark.long
def test_no_test_image_has_a_say_in_the_weights(desk: Path) -> None:
    before = json.loads(handreid("fuse", "1", "2", "--json", cwd=desk).stdout)
    path = desk / "runs" / "0002-ce_triplet" / FEATURES
    stored = load_file(path)
    save_file(stored | {"features": np.roll(stored["features"], 7, axis=0)}, path)
    after = json.loads(handreid("fuse", "1", "2", "--json", cwd=desk).stdout)
    assert before["weights"] == after["weights"] and before["validation_mAP"] == after["validation_mAP"]
    assert (
        before["validation_mAP"]
        >= max(
            json.loads((desk / "runs" / name / run_files.EVALUATION / run_files.SUMMARY).read_text())["validation_mAP"]
            for name in ("0001-ce", "0002-ce_triplet")
        )
        - 1e-6
    )


def test_what_cannot_be_fused_is_refused_and_leaves_nothing(desk: Path) -> None:
    before = sorted(path.name for path in (desk / "runs").iterdir())
    reasons = {
        ("1", "3"): "were tested differently: no fusion.",
        ("1", "4"): "has no model any more, so it has no validation scores",
        ("1",): "fuse takes 2 to 4 runs, but got 1.",
        ("1", "1"): "fuse takes 2 to 4 runs, but got 1.",
    }
    for words, reason in reasons.items():
        done = handreid("fuse", *words, cwd=desk)
        assert done.returncode == 2 and reason in done.stderr and done.stderr.count("\n") == 1, (words, done.stderr)
    hands = desk / "runs" / "0002-ce_triplet" / run_files.CONFIG
    config = json.loads(hands.read_text())
    config["data"]["source"] = str(desk / "nowhere")
    for name in ("0001-ce", "0002-ce_triplet"):
        (desk / "runs" / name / run_files.CONFIG).write_text(json.dumps(config))
    done = handreid("fuse", "1", "2", cwd=desk)
    assert done.returncode == 2 and "nowhere" in done.stderr and "Traceback" not in done.stderr
    assert sorted(path.name for path in (desk / "runs").iterdir()) == before
