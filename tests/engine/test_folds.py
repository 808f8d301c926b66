"""Validation on people who are not trained on, drawn divisions, and runs that never read the test people."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from engine.contract.config import DataConfig, resolve
from engine.contract.errors import UserError
from engine.data.catalog import Split
from engine.data.folds import person
from engine.data.split import open_split, without_test
from engine.training.setup import prepare
from tests.support.data_folders import MINI, full_11k, small_11k, write_tree
from tests.support.training import events_of, small_config, train_in

SUBSETS = ["dorsal-right", "palmar-left", "all"]


def people(split: Split, *parts: tuple[int, ...]) -> set[str]:
    return {person(split.images[image].identity) for part in parts for image in part}


def folds(root: Path, count: int, **settings: object) -> list[Split]:
    made = [
        DataConfig(source=str(root), validation="identities", folds=count, fold=k, **settings) for k in range(count)
    ]
    return [open_split(config) for config in made]


@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize("count", [2, 3, 4])
def test_nobody_is_on_both_sides_and_the_folds_cover_everyone_once(tmp_path: Path, subset: str, count: int) -> None:
    for root in (small_11k(tmp_path / "11k"), *([MINI] if MINI.is_dir() else [])):
        splits = folds(root, count, subset=subset)
        held = [people(split, split.val) for split in splits]
        everyone = people(open_split(DataConfig(source=str(root), subset=subset)), splits[0].train, splits[0].val)
        assert set.union(*held) == everyone
        assert sum(map(len, held)) == len(everyone)
        assert max(map(len, held)) - min(map(len, held)) <= 1
        for split in splits:
            tested = people(split, split.test, *(trial.query for trial in split.trials))
            groups = [people(split, split.train), people(split, split.val), tested]
            assert all(not one & other for one, other in combinations(groups, 2))


def test_the_published_counts_of_11k_hold_out_eighteen_of_seventy_two(tmp_path: Path) -> None:
    splits = folds(full_11k(tmp_path / "11k"), 4)
    counts = [(len(split.classes), len(people(split, split.val))) for split in splits]
    assert sum(held for _, held in counts) == len(splits[0].classes) + counts[0][1]
    assert all(trained + held == sum(counts[0]) for trained, held in counts)


def test_validation_asks_like_the_test_one_gallery_image_a_held_out_person(tmp_path: Path) -> None:
    split = folds(small_11k(tmp_path / "11k"), 4)[1]
    assert len(split.validation) == 10
    for trial in split.validation:
        assert sorted(trial.query + trial.gallery) == list(split.val)
        assert len(trial.gallery) == len({split.images[image].identity for image in split.val})
    assert len({trial.gallery for trial in split.validation}) > 1


def test_folds_have_fingerprints_of_their_own_and_the_default_keeps_its(tmp_path: Path) -> None:
    root = small_11k(tmp_path / "11k")
    plain = open_split(DataConfig(source=str(root)))
    splits = [*folds(root, 4), *folds(root, 2), plain]
    assert len({split.fingerprint for split in splits}) == 7
    assert open_split(DataConfig(source=str(root), folds=7, fold=3)).fingerprint == plain.fingerprint
    assert not plain.validation


def test_more_folds_than_people_and_a_fold_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="5 folds need at least as many training people"):
        folds(small_11k(tmp_path / "11k"), 5)
    with pytest.raises(UserError, match="with 4 folds the last is 3"):
        resolve("ce", 0, **{"data.fold": 4})
    lone = write_tree(tmp_path / "lone", {f"p{n}": ["0.jpg", "1.jpg"][: 1 + n % 2] for n in range(8)})
    with pytest.raises(UserError, match=r"second image|one image only|is no query"):
        for seed in range(20):
            folds(lone, 4, split_seed=seed)


@pytest.mark.parametrize("subset", SUBSETS)
def test_a_drawn_division_keeps_the_numbers_and_takes_other_people(tmp_path: Path, subset: str) -> None:
    root = full_11k(tmp_path / "11k")
    published = open_split(DataConfig(source=str(root), subset=subset))
    drawn = [open_split(DataConfig(source=str(root), subset=subset, division="drawn", split_seed=s)) for s in (0, 1)]
    assert len({split.fingerprint for split in (published, *drawn)}) == 3
    for split in drawn:
        trained, tested = people(split, split.train, split.val), people(split, split.test)
        assert not trained & tested
        assert len(trained) == len(people(published, published.train, published.val))
        assert trained | tested == people(published, published.train, published.val, published.test)
        assert len(people(split, split.trials[0].gallery)) >= len(tested)


def test_a_split_without_test_holds_no_test_person(tmp_path: Path) -> None:
    split = folds(small_11k(tmp_path / "11k"), 4)[0]
    bare = without_test(split)
    assert people(bare, tuple(range(len(bare.images)))) == people(split, split.train, split.val)
    for name in ("train", "val"):
        theirs, ours = ([s.images[image].name for image in getattr(s, name)] for s in (split, bare))
        assert theirs == ours
    asked = [[[s.images[i].name for i in trial.query] for trial in s.validation] for s in (split, bare)]
    assert asked[0] == asked[1]


def test_a_run_without_test_neither_reads_nor_evaluates_test_people(hands: Path, tmp_path: Path) -> None:
    config = small_config("ce_triplet", hands, data__validation="identities", evaluation__test=False)
    read = {person(image.identity) for image in prepare(config).split.images}
    whole = open_split(config.data)
    assert not read & people(whole, whole.test)
    assert train_in(tmp_path / "run", config) == "finished"
    stages = [event["stage"] for event in events_of(tmp_path / "run", "evaluation")]
    assert stages == ["validation", "validation"]
    assert not (tmp_path / "run" / "evaluation").exists()
    assert (tmp_path / "run" / "checkpoints" / "best").is_dir()
    summary = events_of(tmp_path / "run", "ended")[-1]["summary"]
    values = [event["mAP"] for event in events_of(tmp_path / "run", "evaluation")]
    assert summary["validation_mAP"] == max(values)
    assert "mAP" not in summary
    assert events_of(tmp_path / "run", "started")[0]["test_identities"] == 0
