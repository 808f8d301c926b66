"""Copies of a picture are reported where they falsify a result, and real shots in a row are not."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageEnhance

from engine.contract.config import DataConfig
from engine.data.cache import Resize, load_pixels
from engine.data.catalog import Split
from engine.data.duplicates import alike, copies, same_bytes
from engine.data.split import open_split
from tests.support.training import events_of, small_config, train_in


@pytest.fixture
def people(hands: Path, tmp_path: Path) -> Path:
    """Six identities with four synthetic hands each, a folder per identity."""
    for number, picture in enumerate(sorted((hands / "Hands").iterdir())[:36]):
        if number % 6 < 4:
            folder = tmp_path / "people" / f"p{number // 6}"
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, folder / f"{number % 6}.jpg")
    return tmp_path / "people"


def opened(root: Path) -> Split:
    return open_split(DataConfig(source=str(root), trials=2))


def said(root: Path, tmp_path: Path, near: bool = True) -> str:
    split = opened(root)
    pixels = load_pixels(split.root, split.images, Resize(64), tmp_path / "cache")
    return " ".join(copies(split, pixels.thumbnails if near else None))


def one_of(split: Split, places: tuple[int, ...], number: int = 0) -> Path:
    return split.root / split.images[places[number]].path


def change(picture: Path, how: str, target: Path) -> None:
    image = Pillow.open(picture).convert("RGB")
    if how == "saved again":
        image.save(target, quality=70)
    elif how == "scaled":
        image.resize((image.width * 2, image.height * 2)).save(target, quality=92)
    elif how == "brighter":
        ImageEnhance.Brightness(image).enhance(1.03).save(target, quality=92)
    elif how == "png":
        image.save(target.with_suffix(".png"))
    else:
        shutil.copy(picture, target)


@pytest.mark.parametrize("how", ["copied", "saved again", "scaled", "brighter", "png"])
def test_a_test_image_among_the_training_images_is_reported(people: Path, tmp_path: Path, how: str) -> None:
    split = opened(people)
    assert said(people, tmp_path) == ""
    target = one_of(split, split.train).with_name("copy.jpg")
    change(one_of(split, split.test), how, target)
    assert "1 pair of duplicate images across training and test" in said(people, tmp_path)
    assert ("across training and test" in said(people, tmp_path, near=False)) == (how == "copied")


@pytest.mark.parametrize("how", ["copied", "png", "scaled"])
def test_an_image_twice_in_one_test_identity_is_reported(people: Path, tmp_path: Path, how: str) -> None:
    split = opened(people)
    change(one_of(split, split.test), how, one_of(split, split.test).with_name("copy.jpg"))
    assert "1 pair of duplicate images within one test identity" in said(people, tmp_path)


@pytest.mark.parametrize("how", ["copied", "saved again", "brighter"])
def test_an_image_of_two_test_identities_is_reported(people: Path, tmp_path: Path, how: str) -> None:
    split = opened(people)
    first, last = one_of(split, split.test), one_of(split, split.test, -1)
    change(first, how, last.with_name("copy.jpg"))
    assert "across test identities" in said(people, tmp_path)


def test_a_copy_within_training_falsifies_nothing(people: Path, tmp_path: Path) -> None:
    split = opened(people)
    change(one_of(split, split.train), "copied", one_of(split, split.train).with_name("copy.jpg"))
    assert said(people, tmp_path) == ""


def test_training_reports_copies_as_a_message(people: Path, tmp_path: Path) -> None:
    split = opened(people)
    change(one_of(split, split.test), "saved again", one_of(split, split.train).with_name("copy.jpg"))
    train_in(tmp_path / "run", small_config("zero_shot", people))
    assert any("duplicate images" in message["text"] for message in events_of(tmp_path / "run", "message"))


def test_real_hands_of_different_people_are_no_copies(real_hands: Path, tmp_path: Path) -> None:
    split = open_split(DataConfig(source=str(real_hands), subset="all"))
    pixels = load_pixels(split.root, split.images, Resize(64), tmp_path / "cache")
    identities = [image.identity for image in split.images]
    found = alike(pixels.thumbnails, identities)
    assert all(identities[one] == identities[other] for one, other in found)
    assert len(found) < 0.01 * len(identities)


def test_flat_pictures_are_not_compared() -> None:
    flat = np.stack([np.full((16, 16), value, np.uint8) for value in (0, 0, 255, 90)])
    assert alike(flat, ["a", "b", "c", "d"]) == set()


def test_only_files_of_equal_size_and_beginning_are_read_whole(tmp_path: Path) -> None:
    start = io.BytesIO(bytes(5000))
    contents = [start.getvalue() + b"a", start.getvalue() + b"b", start.getvalue() + b"a", b"", b"", b"x"]
    names = [str(number) for number in range(len(contents))]
    for name, content in zip(names, contents, strict=True):
        (tmp_path / name).write_bytes(content)
    assert same_bytes(tmp_path, [*names, "gone"]) == {(0, 2)}
