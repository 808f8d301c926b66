"""`handreid evidence` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.test_openset import handreid
from tests.support.planted_runs import clusters, identities, plant


@pytest.fixture
def place(tmp_path: Path) -> Path:
    people = identities(30)
    plant(tmp_path / "runs", 1, "ce", clusters(people, 0.6), people, images=tmp_path / "images")
    return tmp_path


def test_the_calibrator_is_written_with_what_it_rests_on(place: Path) -> None:
    done = handreid("evidence", "1", "--words", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "30 people, 435 pairs of people" in done.stdout
    assert "support for the same person)" in done.stdout
    found = json.loads((place / "runs/0001-ce/evaluation/evidence.json").read_text())
    assert (found["people"], found["person_pairs"], found["probe"], found["reference"]) == (30, 435, 1, 1)
    assert 0 < found["cllr_min"] <= found["cllr"]["value"] < 1
    assert found["lower"] < 0 < found["upper"] < 3
    assert len(found["person_hashes"]) == 30 and found["images_unread"] == 0
    assert len(found["image_hashes"]) > 100
    assert "1000" not in found["person_hashes"]


def test_templates_of_several_images_are_better_than_single_ones(place: Path) -> None:
    one, several = (
        json.loads(handreid("evidence", "1", "--images", shape, "--json", cwd=place).stdout) for shape in ("1:1", "3:3")
    )
    assert several["cllr_min"] < one["cllr_min"]
    assert several["probe"] == 3


def test_too_few_people_get_no_ratio(tmp_path: Path) -> None:
    people = identities(19)
    plant(tmp_path / "runs", 1, "ce", clusters(people, 0.6), people)
    done = handreid("evidence", "1", cwd=tmp_path)
    assert done.returncode == 2
    assert "19 people with enough images, and a likelihood ratio requires at least 20" in done.stderr
    assert not (tmp_path / "runs/0001-ce/evaluation/evidence.json").exists()


def test_more_images_than_people_have_are_refused(place: Path) -> None:
    assert "0 people with enough images" in handreid("evidence", "1", "--images", "5:9", cwd=place).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--images", "5"], "--images takes PROBE:REFERENCE"),
        (["--images", "0:1"], "--images takes PROBE:REFERENCE"),
        (["--population", "height"], "--population takes all, sex, skin or sex,skin"),
        (["--population", "sex"], "There is no HandInfo.csv"),
    ],
)
def test_a_mistake_is_one_sentence(place: Path, words: list[str], said: str) -> None:
    done = handreid("evidence", "1", *words, cwd=place)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_scores_that_speak_the_wrong_way_are_an_error(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    people = identities(24)
    number = np.unique(people, return_inverse=True)[1]
    place = np.arange(len(people))
    axes = np.eye(8)[place % 8]  # images of one person lie on different axes
    features = (axes + 0.01 * random.normal(size=axes.shape) + 0 * number[:, None]).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    plant(tmp_path / "runs", 1, "ce", features, people)
    done = handreid("evidence", "1", cwd=tmp_path)
    assert done.returncode == 2
    assert "lower than those of different people" in done.stderr
