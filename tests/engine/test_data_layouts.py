"""One door for every layout: what is recognised, what is read, and what is said when nothing is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from engine.contract.config import DataConfig
from engine.contract.errors import UserError
from engine.data.catalog import Split
from engine.data.check import check_folder
from engine.data.split import open_split
from tests.support.data_folders import full_hd, prepared_tree, small_11k, write_tree


def names(split: Split, positions: tuple[int, ...]) -> set[str]:
    return {split.images[i].name.rpartition("/")[2] for i in positions}


def test_hd_has_the_counts_of_the_published_log(tmp_path: Path) -> None:
    checked = check_folder(full_hd(tmp_path / "HD"))
    assert checked["format"] == "hd"
    assert checked["subsets"]["all"] == {
        "images": 5741,
        "used": 5741,
        "identities": 502,
        "train_identities": 251,
        "train_all": 2156,
        "train": 1905,
        "val": 251,
        "test_identities": 251,
        "test": 2243,
        "query": 1992,
        "gallery": 1593,
        "gallery_all": 1593,
        "distractor_identities": 213,
        "distractors": 1342,
    }


def test_hd_is_the_same_whether_given_itself_or_its_parent_and_under_either_name(tmp_path: Path) -> None:
    root = full_hd(tmp_path / "HD")
    prints = {open_split(DataConfig(source=str(place))).fingerprint for place in (root, root / "Original_Images")}
    (root / "Original_Images").rename(root / "Original Images")
    prints |= {open_split(DataConfig(source=str(place))).fingerprint for place in (root, root / "Original Images")}
    assert len(prints) == 1


def test_hd_distractors_are_in_every_gallery_with_identities_of_their_own_and_are_no_queries(tmp_path: Path) -> None:
    files = {"1-501": [f"{p}_{n}.bmp" for p in (1, 2, 447, 448, 500) for n in (1, 2)], "502-712": ["502_1.bmp"]}
    split = open_split(DataConfig(source=str(write_tree(tmp_path / "HD", files)), gallery="own"))
    assert split.classes == ("1", "2", "447")
    for trial in split.trials:
        assert {split.images[i].identity for i in trial.gallery} == {"448", "500", "1502"}
        assert {split.images[i].identity for i in trial.query} == {"448", "500"}


def test_hd_may_have_a_folder_per_identity(tmp_path: Path) -> None:
    people = (1, 2, 448, 500)
    flat = {"1-501": [f"{p}_{n}.jpg" for p in people for n in (1, 2)], "502-712": ["502_1.jpg"]}
    nested = {f"1-501/{p}": [f"{p}_1.jpg", f"{p}_2.jpg"] for p in people} | {"502-712/502": ["502_1.jpg"]}
    first = check_folder(write_tree(tmp_path / "flat", flat))
    second = check_folder(write_tree(tmp_path / "nested", nested))
    assert first["subsets"] == second["subsets"]


def test_hd_images_without_an_identity_in_their_name_are_named(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "HD", {"1-501": ["1_1.jpg", "1_2.jpg", "448_1.jpg", "hand.jpg"]})
    with pytest.raises(UserError, match=r"1 of 4, first hand\.jpg"):
        check_folder(root)


@pytest.mark.parametrize("gallery", ["all", "own"])
def test_a_prepared_tree_is_read_with_its_own_trials(tmp_path: Path, gallery: str) -> None:
    tree = prepared_tree(tmp_path / "train_val_test_split_dorsal_r")
    split = open_split(DataConfig(source=str(tree), gallery=gallery, split_seed=5))
    foreign = [{"left0.jpg"}, {"left1.jpg"}] if gallery == "all" else [set(), set()]
    assert (split.format, split.subset, split.gallery) == ("prepared", "dorsal-right", gallery)
    assert names(split, split.train) == {"a1.jpg", "a3.jpg", "b2.jpg"}
    assert names(split, split.val) == {"a2.jpg", "b1.jpg"}
    assert names(split, split.test) == {"c1.jpg", "c2.jpg", "c3.jpg", "d1.jpg", "d2.jpg"}
    assert [names(split, trial.query) for trial in split.trials] == [
        {"c1.jpg", "c3.jpg", "d2.jpg"},
        {"c1.jpg", "c2.jpg", "d2.jpg"},
    ]
    assert [names(split, trial.gallery) for trial in split.trials] == [
        {"c2.jpg", "d1.jpg"} | foreign[0],
        {"c3.jpg", "d1.jpg"} | foreign[1],
    ]
    assert any("2 trials of its own" in warning for warning in split.warnings)


def test_a_prepared_aspect_without_merged_gallery_is_not_passed_off_as_the_published_protocol(tmp_path: Path) -> None:
    split = open_split(DataConfig(source=str(prepared_tree(tmp_path / "split_palmar_l", merged=False)), gallery="all"))
    assert split.gallery == "own"
    assert any("no merged gallery" in warning for warning in split.warnings)


def test_copies_of_an_image_in_a_prepared_tree_are_one_image(tmp_path: Path) -> None:
    split = open_split(DataConfig(source=str(prepared_tree(tmp_path / "tree"))))
    assert len(split.images) == 12
    assert len({image.name for image in split.images}) == 12


def test_the_parent_of_prepared_trees_offers_each_as_a_subset(tmp_path: Path) -> None:
    for suffix in ("palmar_l", "dorsal_l", "dorsal_r"):
        prepared_tree(tmp_path / f"train_val_test_split_{suffix}")
    assert list(check_folder(tmp_path)["subsets"]) == ["dorsal-right", "dorsal-left", "palmar-left"]
    of_parent = open_split(DataConfig(source=str(tmp_path), subset="dorsal-left"))
    alone = open_split(DataConfig(source=str(tmp_path / "train_val_test_split_dorsal_l")))
    assert of_parent.fingerprint == alone.fingerprint
    assert all((of_parent.root / image.path).is_file() for image in of_parent.images)


def test_a_prepared_tree_without_trials_gets_ten_of_ours(tmp_path: Path) -> None:
    files = {f"train/{p}": ["1.jpg", "2.jpg"] for p in "ab"} | {f"test/{p}": ["1.jpg", "2.jpg"] for p in "cd"}
    split = open_split(DataConfig(source=str(write_tree(tmp_path / "tree", files))))
    assert len(split.trials) == 10
    assert len(split.val) == len(split.train) == 2
    assert len({image.name for image in split.images}) == 8


def test_a_prepared_tree_with_one_identity_on_both_sides_is_refused(tmp_path: Path) -> None:
    tree = prepared_tree(tmp_path / "tree")
    write_tree(tree, {"train/0001100": ["x.jpg"]})
    with pytest.raises(UserError, match="first 0001100"):
        check_folder(tree)


def test_a_prepared_trial_without_images_is_named(tmp_path: Path) -> None:
    tree = prepared_tree(tmp_path / "tree")
    for image in (tree / "query1").rglob("*.jpg"):
        image.unlink()
    with pytest.raises(UserError, match="query1 or gallery1"):
        check_folder(tree)


def test_a_folder_per_identity_trains_on_half_of_them_drawn_by_the_seed(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "people", {f"p{n}": ["1.jpg", "2.jpg", "3.png"] for n in range(9)})
    splits = [open_split(DataConfig(source=str(root), split_seed=seed)) for seed in range(5)]
    for split in splits:
        assert (split.format, split.subset) == ("folder", "all")
        assert len(split.classes) == 5
        assert len({split.images[i].identity for i in split.test}) == 4
    assert len({split.classes for split in splits}) > 1


def test_only_images_inside_the_folder_are_read(tmp_path: Path) -> None:
    files = {f"p{n}": ["1.jpg", "2.JPG", "3.webp"] for n in range(4)}
    plain = check_folder(write_tree(tmp_path / "plain", files))
    root = write_tree(tmp_path / "cluttered", files)
    clutter = {"p0": [".DS_Store", "Thumbs.db", ".hidden.jpg", "notes.txt"], "p0/more": ["9.jpg"], ".cache": ["1.jpg"]}
    write_tree(root, clutter | {"empty": []})
    outside = write_tree(tmp_path / "outside", {"p9": ["1.jpg", "2.jpg"]})
    (root / "p9").symlink_to(outside / "p9")
    (root / "p1" / "9.jpg").symlink_to(outside / "p9" / "1.jpg")
    (root / "p1" / "broken.jpg").symlink_to(root / "nothing.jpg")
    (root / "p1" / "circle.jpg").symlink_to(root / "p1" / "circle.jpg")
    cluttered = check_folder(root)
    assert cluttered["subsets"] == plain["subsets"]
    assert cluttered["unread"] == {
        "too_deep": {"count": 1, "first": "p0/more/9.jpg"},
        "empty": {"count": 1, "first": "empty"},
        "links_out": {"count": 4, "first": "p1/9.jpg"},
    }
    assert [warning.partition(" ")[0] for warning in cluttered["warnings"][:3]] == ["1", "1", "4"]


def test_a_link_that_stays_inside_is_followed(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "people", {f"p{n}": ["1.jpg", "2.jpg"] for n in range(4)})
    (root / "p1" / "3.jpg").symlink_to(root / "p1" / "1.jpg")
    assert check_folder(root)["subsets"]["all"]["images"] == 9


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, r"\(no images\).*HandInfo.csv \(11k\).*1-501.*query0.*one folder for each identity"),
        ({".": ["a.jpg", "b.jpg"]}, "2 images outside of any folder"),
        ({"a": ["notes.txt"]}, "no images"),
    ],
)
def test_a_folder_that_is_nothing_says_what_was_looked_for(
    tmp_path: Path, files: dict[str, list[str]], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        check_folder(write_tree(tmp_path, files))


@pytest.mark.parametrize("layout", ["11k", "hd", "prepared", "folder"])
def test_a_format_that_the_folder_has_not_is_refused_with_what_it_needs(tmp_path: Path, layout: str) -> None:
    with pytest.raises(UserError, match="need"):
        check_folder(tmp_path, layout)


@pytest.mark.parametrize("path", ["missing", "a\0b", "x" * 5000])
def test_a_missing_folder_is_one_sentence(tmp_path: Path, path: str) -> None:
    with pytest.raises(UserError, match="There is no folder"):
        check_folder(f"{tmp_path}/{path}")


def test_a_file_instead_of_a_folder_is_said(tmp_path: Path) -> None:
    root = small_11k(tmp_path / "11k")
    with pytest.raises(UserError, match="is a file: give the folder"):
        check_folder(root / "HandInfo.csv")


def test_damaged_images_are_listed_on_demand(tmp_path: Path) -> None:
    root = tmp_path / "people"
    for person in "abcd":
        (root / person).mkdir(parents=True)
        for number in range(2):
            Image.effect_noise((64, 48), 50).save(root / person / f"{number}.jpg")
    whole = (root / "b" / "1.jpg").read_bytes()
    (root / "b" / "1.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "c" / "0.jpg").write_text("not an image")
    assert check_folder(root, decode=True)["undecodable"] == ["b/1.jpg", "c/0.jpg"]
    assert "undecodable" not in check_folder(root)


def test_looking_at_data_does_not_load_torch() -> None:
    code = (
        "import sys, engine.data.check, engine.data.split; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
