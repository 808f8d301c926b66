"""`data check` counts what is not read and says in one sentence whether a data set can be trained on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from engine.contract.config import DataConfig
from engine.contract.errors import UserError
from engine.data import decode
from engine.data.check import check_folder
from engine.data.split import check_batch, open_split
from engine.data.wording import count
from tests.support.data_folders import prepared_tree, small_11k, write_tree

PEOPLE = {f"p{n}": ["1.jpg", "2.jpg", "3.jpg"] for n in range(6)}
JPEG = b"\xff\xd8\xff\xe0" + bytes(60)


def data_check(path: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    command = [sys.executable, "-m", "handreid_tui", "data", "check", str(path), *options]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True)
    shown = subprocess.run(command, capture_output=True, text=True)
    assert shown.returncode == done.returncode and "Traceback" not in shown.stderr + done.stderr
    return done.returncode, json.loads(done.stdout or "{}"), shown.stdout + shown.stderr


def unread(root: Path) -> dict[str, int]:
    return {kind: found["count"] for kind, found in check_folder(root)["unread"].items()}


@pytest.mark.parametrize(
    "names",
    [["1.gif", "2.GIF"], ["IMG.cr2", "b.dng"], ["a.avif", "b.jxl"], ["photo", "x.jpg_large"], ["a.jpg ", "b.tmp"]],
)
def test_pictures_of_other_kinds_are_counted(tmp_path: Path, names: list[str]) -> None:
    root = write_tree(tmp_path / "people", PEOPLE)
    for name in names:
        (root / "p1" / name).write_bytes(JPEG)
    for companion in ("notes.txt", "Thumbs.db", "index.html", "labels.json"):
        (root / "p1" / companion).write_bytes(JPEG)
    assert unread(root) == {"other_kind": 2}


@pytest.mark.parametrize("layout", ["folder", "11k", "hd", "prepared"])
def test_what_is_not_read_is_counted_in_every_layout(tmp_path: Path, layout: str) -> None:
    root = tmp_path / "data"
    if layout == "folder":
        write_tree(root, PEOPLE | {".": ["loose.jpg"], "p1/session": ["4.jpg", "5.jpg"], "empty": []})
        expected = {"loose": 1, "too_deep": 2, "empty": 1}
    elif layout == "11k":
        small_11k(root)
        write_tree(root, {"Hands": ["Hand_9999999.jpg", "x.gif"]})
        expected = {"no_row": 1, "other_kind": 1}
    elif layout == "hd":
        write_tree(
            root, {"1-501": [f"{p}_{n}.jpg" for p in (1, 2, 448, 449) for n in (1, 2)], "1-501/3/more": ["3.jpg"]}
        )
        expected = {"too_deep": 1, "empty": 1}
    else:
        prepared_tree(root)
        write_tree(root, {"train": ["stray.jpg"], "test/0001100/deep": ["x.jpg"], "query0/nobody": []})
        expected = {"loose": 1, "too_deep": 1, "empty": 1}
    assert unread(root) == expected
    assert len([w for w in check_folder(root)["warnings"] if "First " in w and str(root) in w]) >= len(expected)


def test_training_reports_what_is_not_read_as_well(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "people", PEOPLE | {".": ["loose.jpg"]})
    warnings = open_split(DataConfig(source=str(root))).warnings
    assert any(warning.startswith("1 picture outside of the identities' folders") for warning in warnings)


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (
            ["anna", "anna "],
            "1 identity merged from folders whose names differ in spaces only, first 'anna' and 'anna '",
        ),
        (["p01", " p01", "p01\t"], "1 identity merged"),
        (["P01", "p01"], "1 pair of identities differs in case only, first P01 and p01"),
        (["a", "A", "b", "B"], "2 pairs of identities differ in case only"),
    ],
)
def test_folders_that_may_be_one_identity_are_named(tmp_path: Path, folders: list[str], said: str) -> None:
    root = write_tree(tmp_path / "people", PEOPLE | {name: ["1.jpg", "2.jpg"] for name in folders})
    assert any(said in warning for warning in check_folder(root)["warnings"])


@pytest.mark.parametrize(
    ("people", "verdict"),
    [
        ({"a": 3}, "It cannot be trained on: {} has no test identities: choose another subset, or add identities."),
        (
            {"a": 3, "b": 3},
            "It cannot be trained on: A loss needs 2 or more identities to train on, but {} has 1: add "
            "identities, half of which are for testing.",
        ),
        ({"a": 1, "b": 1, "c": 1, "d": 1}, "It cannot be trained on: Each training identity of {} has 1 image"),
        ({"a": 3, "b": 3, "c": 3, "d": 3}, "It can be trained on."),
    ],
)
def test_the_verdict_and_the_exit_status_agree(tmp_path: Path, people: dict[str, int], verdict: str) -> None:
    root = tmp_path / "people"
    write_tree(root, {name: [f"{name}{n}.jpg" for n in range(images)] for name, images in people.items()})
    status, found, shown = data_check(root)
    assert found["verdict"].startswith(verdict.format(root))
    assert verdict.format(root) in shown
    assert (status, found["trainable"]) == ((0, ["all"]) if verdict.startswith("It can be") else (2, []))


def test_a_subset_that_cannot_be_trained_on_is_named_beside_those_that_can(tmp_path: Path) -> None:
    root = small_11k(tmp_path / "11k")
    lines = (root / "HandInfo.csv").read_text().splitlines()
    kept = [line for line in lines if not ('"palmar left"' in line and line.startswith('"000200'))]
    (root / "HandInfo.csv").write_text("\n".join(kept))
    found = check_folder(root)
    assert found["trainable"] == ["dorsal-right", "dorsal-left", "palmar-right", "all"]
    assert "not palmar-left: palmar-left of" in found["verdict"] and "has no test identities" in found["verdict"]


def test_damage_is_tolerated_named_or_refused(tmp_path: Path) -> None:
    root = tmp_path / "people"
    for person in range(6):
        (root / f"p{person}").mkdir(parents=True)
        for number in range(20):
            Image.effect_noise((40, 30), 50 + number).save(root / f"p{person}" / f"{number}.jpg")
    assert data_check(root, "--decode")[0] == 0
    (root / "p1" / "0.jpg").write_bytes(b"not an image")
    status, found, shown = data_check(root, "--decode")
    assert (status, found["undecodable"], found["verdict"]) == (1, ["p1/0.jpg"], "It can be trained on.")
    assert "Cannot be decoded: p1/0.jpg (not a picture of a known format)" in shown
    for number in range(1, 4):
        (root / "p1" / f"{number}.jpg").write_bytes(b"not an image")
    status, found, _ = data_check(root, "--decode")
    assert status == 2 and "4 of 120 images cannot be decoded, first p1/0.jpg" in found["verdict"]


def test_heic_without_a_reader_is_said_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_tree(tmp_path / "people", PEOPLE)
    for name in ("p1/4.HEIC", "p2/4.heif"):
        (root / name).write_bytes(b"\0\0\0\x18ftypheic" + bytes(50))
    (root / "p3" / "4.heic").write_bytes(JPEG)  # a JPEG whatever its name
    monkeypatch.setattr(decode, "reads_heic", lambda: True)
    assert check_folder(root)["trainable"] == ["all"]
    monkeypatch.setattr(decode, "reads_heic", lambda: False)
    found = check_folder(root)
    assert found["trainable"] == []
    assert r"2 of 21 images cannot be decoded, first p1/4.HEIC (HEIC needs pillow-heif: pip install" in found["verdict"]


def test_copies_across_the_split_are_in_the_check(tmp_path: Path) -> None:
    root = tmp_path / "people"
    for person in range(6):
        (root / f"p{person}").mkdir(parents=True)
        for number in range(3):
            Image.effect_noise((40, 30), 30 + 7 * number + person).save(root / f"p{person}" / f"{number}.png")
    split = open_split(DataConfig(source=str(root)))
    train, test = (root / split.images[places[0]].path for places in (split.train, split.test))
    shutil.copy(test, train.with_name("copy.png"))
    assert any("duplicate images across training and test (byte-" in w for w in check_folder(root)["warnings"])
    Image.open(test).convert("RGB").save(train.with_name("copy.png"), compress_level=1)
    assert not any("duplicate images" in w for w in check_folder(root)["warnings"])
    assert any("duplicate images across training and test" in w for w in check_folder(root, decode=True)["warnings"])


@pytest.mark.parametrize("people", [3, 2])
def test_one_test_identity_is_said_to_be_right_by_construction(tmp_path: Path, people: int) -> None:
    root = write_tree(tmp_path / "people", {f"p{n}": ["1.jpg", "2.jpg", "3.jpg"] for n in range(people)})
    split = open_split(DataConfig(source=str(root)))
    assert any(w.startswith("The gallery contains 1 test identity: every rank is correct") for w in split.warnings)
    root = write_tree(tmp_path / "more", {f"p{n}": ["1.jpg", "2.jpg", "3.jpg"] for n in range(4)})
    assert not any("by construction" in w for w in open_split(DataConfig(source=str(root))).warnings)


def test_one_training_identity_gets_advice_that_can_be_followed(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "people", {f"p{n}": ["1.jpg", "2.jpg", "3.jpg"] for n in range(2)})
    with pytest.raises(UserError, match="has 1: add identities, half of which are for testing"):
        check_batch(open_split(DataConfig(source=str(root))), 2, 2)
    done = subprocess.run(
        [sys.executable, "-m", "handreid_tui", "run", "--combo", "ce", "--model", "handreid-tiny", "--data", str(root)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 2 and "add identities" in done.stderr and "--ids-per-batch" not in done.stderr


@pytest.mark.parametrize("name", [b"M\xfcller", b"\xff\xfe", b"Andr\xe9 [1]"])
def test_names_that_are_no_utf8_are_checked_and_split(tmp_path: Path, name: bytes) -> None:
    root = write_tree(tmp_path / "people", PEOPLE)
    (root / "p0").rename(root / os.fsdecode(name))
    assert check_folder(root)["subsets"]["all"]["identities"] == 6
    assert len(open_split(DataConfig(source=str(root))).images) == 18
    status, found, _ = data_check(root)
    assert status == 0 and found["trainable"] == ["all"]


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "image", "0 images"),
        (1, "identity", "1 identity"),
        (2, "identity", "2 identities"),
        (1, "training identity", "1 training identity"),
        (3, "day", "3 days"),
    ],
)
def test_counts_are_grammatical(number: int, noun: str, text: str) -> None:
    assert count(number, noun) == text


def test_no_message_about_data_has_one_of_a_plural(tmp_path: Path) -> None:
    sizes = [{"a": 1}, {"a": 2}, {"a": 1, "b": 1}, {"a": 2, "b": 2, "c": 2}, {"a": 1, "b": 2, "c": 2, "d": 1}]
    for number, people in enumerate(sizes):
        root = tmp_path / str(number)
        write_tree(root, {name: [f"{name}{n}.jpg" for n in range(images)] for name, images in people.items()})
        found = check_folder(root)
        for text in (found["found"], found["verdict"], *found["warnings"]):
            assert not [word for word in ("1 identities", "1 images", "1 folders") if f" {word}" in f" {text}"]
