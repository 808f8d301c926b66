"""`handreid openset` as a user calls it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.planted_runs import clusters, identities, plant


def handreid(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "handreid_tui", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("openset")
    people = identities()
    plant(folder / "runs", 1, "ce", clusters(people, 0.6), people)
    plant(folder / "runs", 2, "ce_triplet", clusters(people, 0.3), people)
    return folder


def test_every_run_has_its_rates(place: Path) -> None:
    done = handreid("openset", "1-2", cwd=place)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("24 enrolled, 23 without the person") == 2
    assert "0.1 (beyond 24 people)" in done.stdout
    assert "first 20" in done.stdout


def test_json_has_the_figures_with_intervals(place: Path) -> None:
    found = json.loads(handreid("openset", "1", "--fpir", "0.3", "--list", "2", "--json", cwd=place).stdout)
    rate = found[0]["rates"][0]
    assert rate["fpir"] == 0.3 and not rate["beyond"]
    assert 0 <= rate["fnir"]["low"] <= rate["fnir"]["value"] <= rate["fnir"]["high"] <= 1
    assert found[0]["lists"][0]["rank"] == 2


def test_a_larger_gallery_than_tested_is_called_a_model(place: Path) -> None:
    assert "model: independent comparisons" in handreid("openset", "1", "--size", "500", cwd=place).stdout
    smaller = handreid("openset", "1", "--size", "10", cwd=place).stdout
    assert "model" not in smaller
    assert "every gallery of 10 of 24 people" in smaller


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--fpir", "2"], "--fpir takes fractions"),
        (["--fpir", "ten"], "--fpir takes fractions"),
        (["--list", "0"], "--list takes lengths"),
        (["--by", "height"], "--by takes sex, skin, age"),
        (["--by", "sex"], "There is no HandInfo.csv"),
        (["--evaluation", "elsewhere"], "no evaluation 'elsewhere'"),
    ],
)
def test_a_mistake_is_one_sentence(place: Path, words: list[str], said: str) -> None:
    done = handreid("openset", "1", *words, cwd=place)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "saved",
    [
        lambda table: table.encode(),
        lambda table: table.replace(",", "\t").encode("utf-16"),
        lambda table: table.replace(",", ";").replace("gender", " Gender ").encode("utf-8-sig"),
        lambda table: table.partition("\n")[2].encode(),
    ],
    ids=["published", "tabs in UTF-16", "semicolons", "without a header"],
)
def test_groups_are_those_of_the_table_and_small_ones_are_counted(
    tmp_path: Path, saved: Callable[[str], bytes]
) -> None:
    people = identities()
    images = tmp_path / "images"
    plant(tmp_path / "runs", 1, "ce", clusters(people, 0.6), people, images=images)
    shutil.rmtree(images)
    images.mkdir()
    rows = [
        f"{name},{20 + place % 30},{'male' if int(name) < 1020 else 'female'},fair,0,0,dorsal right,hand_{place}.jpg,0"
        for place, name in enumerate(people.tolist())
    ]
    header = "id,age,gender,skinColor,accessories,nailPolish,aspectOfHand,imageName,irregularities"
    (images / "HandInfo.csv").write_bytes(saved("\n".join([header, *rows])))
    found = json.loads(handreid("openset", "1", "--fpir", "0.3", "--by", "sex", "--json", cwd=tmp_path).stdout)
    male, female = (next(g for g in found[0]["groups"] if g["group"] == sex) for sex in ("male", "female"))
    assert male["people"] == 20 and male["fnir_at"] is not None
    assert female["people"] == 4 and female["fnir_at"] is None


def test_a_feature_that_is_not_finite_is_named(tmp_path: Path) -> None:
    people = identities(6)
    features = clusters(people, 0.5)
    features[3] = np.nan
    plant(tmp_path / "runs", 1, "ce", features, people)
    done = handreid("openset", "1", cwd=tmp_path)
    assert done.returncode == 2
    assert "the feature of hand_3.jpg is not finite" in done.stderr
