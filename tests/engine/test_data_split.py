"""The split: nobody on both sides, everything drawn by the seed alone, a sentence where there is nothing to draw."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from engine.contract.config import DataConfig
from engine.contract.errors import UserError
from engine.data.catalog import Split
from engine.data.split import check_batch, open_split
from tests.support.data_folders import MINI, prepared_tree, row, small_11k, write_11k, write_tree

PINNED_VAL = ["Hand_0000010.jpg", "Hand_0000022.jpg", "Hand_0000031.jpg", "Hand_0000041.jpg"]
PINNED_FINGERPRINT = "9d56c99d328f2794"
FINGERPRINT = (
    "import sys; from engine.contract.config import DataConfig; from engine.data.split import open_split; "
    "print(open_split(DataConfig(source=sys.argv[1])).fingerprint)"
)


def parts(split: Split, *positions: tuple[int, ...]) -> set[str]:
    return {split.images[i].identity for part in positions for i in part}


def folder(root: Path, images: dict[str, int]) -> Path:
    return write_tree(root, {name: [f"{n}.jpg" for n in range(count)] for name, count in images.items()})


@pytest.mark.parametrize("subset", ["dorsal-right", "dorsal-left", "palmar-right", "palmar-left", "all"])
def test_no_identity_is_trained_on_and_tested(tmp_path: Path, subset: str) -> None:
    root = small_11k(tmp_path / "11k")
    for split in (open_split(DataConfig(source=str(place), subset=subset)) for place in (root, MINI) if place.is_dir()):
        trials = [trial.query + trial.gallery for trial in split.trials]
        assert not parts(split, split.train, split.val) & parts(split, split.test, *trials)


def test_every_training_identity_gives_one_image_to_validation(tmp_path: Path) -> None:
    split = open_split(DataConfig(source=str(small_11k(tmp_path / "11k"))))
    assert Counter(split.images[i].identity for i in split.val) == dict.fromkeys(split.classes, 1)
    assert Counter(split.images[i].identity for i in split.train) == dict.fromkeys(split.classes, 2)
    assert not set(split.val) & set(split.train)


def test_each_trial_has_one_gallery_image_of_each_test_identity_and_queries_with_all_others(tmp_path: Path) -> None:
    split = open_split(DataConfig(source=str(small_11k(tmp_path / "11k")), gallery="own"))
    for trial in split.trials:
        assert sorted(trial.query + trial.gallery) == list(split.test)
        assert Counter(split.images[i].identity for i in trial.gallery) == dict.fromkeys(parts(split, split.test), 1)
    assert len({trial.gallery for trial in split.trials}) > 1


def test_draws_are_spread_over_all_images_of_an_identity(tmp_path: Path) -> None:
    root = folder(tmp_path / "people", {f"p{n}": 4 for n in range(40)})
    split = open_split(DataConfig(source=str(root), trials=50))
    drawn = Counter(split.images[i].name[-5] for trial in split.trials for i in trial.gallery)
    assert drawn.total() == 1000
    assert all(200 < drawn[number] < 300 for number in "0123")


def test_a_test_identity_with_one_image_is_in_the_gallery_and_asks_nothing(tmp_path: Path) -> None:
    rows = [row(p, f"{p}_{n}.jpg") for p, count in {1: 2, 2: 1, 3000: 2, 3001: 1}.items() for n in range(count)]
    root = write_11k(
        tmp_path / "11k", rows, ["1_0.jpg", "1_1.jpg", "2_0.jpg", "3000_0.jpg", "3000_1.jpg", "3001_0.jpg"]
    )
    split = open_split(DataConfig(source=str(root), gallery="own"))
    for trial in split.trials:
        assert parts(split, trial.query) == {"dorsal-right/3000"}
        assert parts(split, trial.gallery) == {"dorsal-right/3000", "dorsal-right/3001"}
    assert split.classes == ("dorsal-right/1",)
    assert parts(split, split.val) == {"dorsal-right/1", "dorsal-right/2"}
    assert [warning.split(",")[0] for warning in split.warnings] == [
        "1 of 2 training identities has one image",
        "1 of 2 test identities has one image",
    ]


def test_names_and_positions_are_unique_and_sorted(tmp_path: Path) -> None:
    for source in (
        small_11k(tmp_path / "11k"),
        prepared_tree(tmp_path / "tree"),
        folder(tmp_path / "f", {"a": 3, "b": 3}),
    ):
        split = open_split(DataConfig(source=str(source)))
        names = [image.name for image in split.images]
        assert names == sorted(set(names))
        assert split.train == tuple(sorted(set(split.train)))
        assert split.classes == tuple(sorted(parts(split, split.train)))


def test_the_split_is_the_same_in_every_process_and_file_order(tmp_path: Path) -> None:
    prints = set()
    for number in range(3):
        root = small_11k(tmp_path / f"copy{number}", shuffle=number)
        environment = os.environ | {"PYTHONHASHSEED": str(number)}
        command = [sys.executable, "-c", FINGERPRINT, str(root)]
        prints.add(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip())
    assert prints == {open_split(DataConfig(source=str(tmp_path / "copy0"))).fingerprint}


def test_the_split_is_the_one_that_it_always_was(tmp_path: Path) -> None:
    split = open_split(DataConfig(source=str(small_11k(tmp_path / "11k")), gallery="own"))
    assert [split.images[i].name for i in split.val] == PINNED_VAL
    assert split.fingerprint == PINNED_FINGERPRINT


@pytest.mark.parametrize(
    "change", [{"split_seed": 1}, {"gallery": "own"}, {"subset": "palmar-left"}, {"subset": "all"}, {"trials": 5}]
)
def test_what_makes_numbers_incomparable_changes_the_fingerprint(tmp_path: Path, change: dict[str, object]) -> None:
    source = str(small_11k(tmp_path / "11k"))
    assert (
        open_split(DataConfig(source=source)).fingerprint != open_split(DataConfig(source=source, **change)).fingerprint
    )


def test_one_image_less_changes_the_fingerprint(tmp_path: Path) -> None:
    root = folder(tmp_path / "people", dict.fromkeys("abcdef", 4))
    before = open_split(DataConfig(source=str(root)))
    (root / before.images[before.train[0]].path).unlink()
    assert open_split(DataConfig(source=str(root))).fingerprint != before.fingerprint


def test_where_both_galleries_are_the_same_they_have_one_name_and_fingerprint(tmp_path: Path) -> None:
    source = str(small_11k(tmp_path / "11k"))
    both = [open_split(DataConfig(source=source, subset="all", gallery=gallery)) for gallery in ("all", "own")]
    assert both[0] == both[1]
    assert both[0].gallery == "all"


def test_a_subset_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    rows = [row(p, f"{p}.jpg", aspect="palmar left") for p in (1, 3000)]
    root = write_11k(tmp_path / "11k", rows, ["1.jpg", "3000.jpg"])
    with pytest.raises(UserError, match="no subset 'dorsal-right', but has palmar-left, all"):
        open_split(DataConfig(source=str(root), subset="dorsal-right"))


def test_auto_takes_the_first_aspect_that_is_there(tmp_path: Path) -> None:
    rows = [row(p, f"{p}_{n}.jpg", "palmar right" if n % 2 else "dorsal left") for p in (1, 3000) for n in range(8)]
    root = write_11k(tmp_path / "11k", rows, [f"{p}_{n}.jpg" for p in (1, 3000) for n in range(8)])
    assert open_split(DataConfig(source=str(root))).subset == "dorsal-left"


@pytest.mark.parametrize(
    ("people", "said"),
    [
        ({1: 3, 2: 3}, "no test identities"),
        ({3000: 3, 3001: 3}, "no training identities"),
        ({1: 1, 2: 1, 3000: 3}, "has 1 image, which is used for validation"),
        ({1: 3, 3000: 1, 3001: 1}, "no query"),
    ],
)
def test_a_split_that_cannot_train_or_test_is_refused(tmp_path: Path, people: dict[int, int], said: str) -> None:
    names = [(p, f"{p}_{n}.jpg") for p, count in people.items() for n in range(count)]
    root = write_11k(tmp_path / "11k", [row(*name) for name in names], [name for _, name in names])
    with pytest.raises(UserError, match=said):
        open_split(DataConfig(source=str(root)))


def test_a_batch_of_more_identities_than_there_are_is_refused_with_the_largest_that_works(tmp_path: Path) -> None:
    split = open_split(DataConfig(source=str(small_11k(tmp_path / "11k"))))
    assert check_batch(split, 4, 2) == []
    with pytest.raises(UserError, match=r"dorsal-right has 4: use 4 or less"):
        check_batch(split, 5, 2)


def test_more_images_per_identity_than_there_are_is_a_warning(tmp_path: Path) -> None:
    names = [(p, f"{p}_{n}.jpg") for p, count in {1: 4, 2: 5, 3000: 2}.items() for n in range(count)]
    root = write_11k(tmp_path / "11k", [row(*name) for name in names], [name for _, name in names])
    split = open_split(DataConfig(source=str(root)))
    assert check_batch(split, 2, 3) == []
    assert check_batch(split, 2, 4) == ["1 of 2 training identities has fewer than 4 images: a batch repeats them."]
