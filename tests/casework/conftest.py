"""A trained run with enough test people to calibrate, and people that it never saw."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine.data import synthetic
from engine.data.layouts.hand_info import read_table
from tests.cli.test_openset import handreid
from tests.support.training import small_config, train_in


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `runs` (run 1, with evidence.json), `gallery` (12 people, 3 images) and `photos` (one of each)."""
    folder = tmp_path_factory.mktemp("casework")
    synthetic.write(folder / "trained", train_identities=8, test_identities=24, images=4, seed=0, size=64)
    synthetic.write(folder / "unseen", train_identities=1, test_identities=12, images=4, seed=9, size=64)
    config = small_config("ce", folder / "trained", train__epochs=6, data__trials=4)
    train_in(folder / "runs" / "0001-ce", config)
    assert handreid("evidence", "1", cwd=folder).returncode == 0
    (folder / "photos").mkdir()
    by_person: dict[int, list[str]] = {}
    for row in read_table(folder / "unseen" / "HandInfo.csv"):
        by_person.setdefault(row.person, []).append(row.name)
    for person, names in sorted(by_person.items())[-12:]:
        known = folder / "gallery" / f"known-{person}"
        known.mkdir(parents=True)
        shutil.copy(folder / "unseen" / "Hands" / names[0], folder / "photos" / f"{person}.jpg")
        for name in names[1:]:
            shutil.copy(folder / "unseen" / "Hands" / name, known / name)
    return folder


@pytest.fixture
def desk(place: Path, tmp_path: Path) -> Path:
    """A copy of the photos and the gallery, to change; runs are those of `place`."""
    shutil.copytree(place / "gallery", tmp_path / "gallery")
    shutil.copytree(place / "photos", tmp_path / "photos")
    (tmp_path / "runs").symlink_to(place / "runs")
    (tmp_path / "desk").mkdir()
    return tmp_path
