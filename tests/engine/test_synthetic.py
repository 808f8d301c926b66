"""Drawn hands: the folder that `write` makes, what its pictures depend on, and that telling them apart is work."""

from __future__ import annotations

import csv
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.contract.errors import UserError
from engine.data import synthetic
from engine.data.synthetic import folder as folder_module
from engine.data.synthetic.identity import marks, person
from engine.data.synthetic.picture import draw
from engine.data.synthetic.scene import scene

ASPECTS = ("dorsal right", "dorsal left", "palmar right", "palmar left")


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "HandInfo.csv").open(newline="") as table:
        return list(csv.DictReader(table))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pixels(path: Path, side: int = 32) -> np.ndarray:
    image = Image.open(path).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "hands"
    synthetic.write(folder, 2, 1, 2, seed=3, size=64, aspects=ASPECTS)
    return folder


def test_the_table_has_the_columns_and_quoting_of_11k_hands(folder: Path) -> None:
    header, first, *_ = (folder / "HandInfo.csv").read_bytes().decode().split("\n")
    assert header == "id,age,gender,skinColor,accessories,nailPolish,aspectOfHand,imageName,irregularities"
    identity, age, gender, skin, accessories, polish, aspect, name, irregularities = first.split(",")
    assert (identity, aspect, name) == ('"0000001"', '"dorsal right"', '"Hand_0000001.jpg"')
    assert 18 <= int(age) <= 75 and gender in ('"male"', '"female"')
    assert skin in ('"very fair"', '"fair"', '"medium"', '"dark"')
    assert accessories == irregularities == "0" and polish in ("0", "1")


def test_every_row_has_its_picture_and_every_picture_its_row(folder: Path) -> None:
    names = [row["imageName"] for row in rows(folder)]
    assert names == [f"Hand_{number:07d}.jpg" for number in range(1, 25)]
    assert sorted(path.name for path in (folder / "Hands").iterdir()) == names
    for name in names:
        image = Image.open(folder / "Hands" / name)
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 64))


def test_the_published_split_rule_puts_the_same_people_into_train_in_every_aspect(folder: Path) -> None:
    for aspect, last in zip(ASPECTS, (1050, 1037, 1051, 1042), strict=True):
        people = [int(row["id"]) for row in rows(folder) if row["aspectOfHand"] == aspect]
        assert [who for who in people if who <= last] == [1, 1, 2, 2]
        assert [who for who in people if who > last] == [2001, 2001]


def test_the_same_arguments_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    synthetic.write(tmp_path / "again", 2, 1, 2, seed=3, size=64, aspects=ASPECTS)
    assert content(tmp_path / "again") == content(folder)


def test_a_picture_does_not_depend_on_what_else_is_drawn_nor_on_the_number_of_processes(
    folder: Path, tmp_path: Path
) -> None:
    synthetic.write(tmp_path / "more", 120, 2, 3, seed=3, size=64)  # enough pictures for a second process
    more = {(row["id"], index % 3): row["imageName"] for index, row in enumerate(rows(tmp_path / "more"))}
    few = [row for row in rows(folder) if row["aspectOfHand"] == "dorsal right"]
    for index, row in enumerate(few):
        same = tmp_path / "more" / "Hands" / more[row["id"], index % 2]
        assert same.read_bytes() == (folder / "Hands" / row["imageName"]).read_bytes()


def test_another_seed_draws_other_people(folder: Path, tmp_path: Path) -> None:
    synthetic.write(tmp_path / "other", 2, 1, 2, seed=4, size=64, aspects=ASPECTS)
    ours, theirs = content(folder), content(tmp_path / "other")
    assert not [name for name in ours if name.endswith(".jpg") and ours[name] == theirs[name]]


def test_no_two_pictures_are_the_same(folder: Path) -> None:
    pictures = [path.read_bytes() for path in (folder / "Hands").iterdir()]
    assert len(set(pictures)) == len(pictures)


@pytest.mark.parametrize(("aspect", "thumb_on_the_left"), list(zip(ASPECTS, (True, False, False, True), strict=True)))
def test_the_thumb_is_on_the_side_where_that_hand_has_it(tmp_path: Path, aspect: str, thumb_on_the_left: bool) -> None:
    synthetic.write(tmp_path / "hands", 12, 1, 2, seed=0, size=64, aspects=(aspect,))
    dark = sum(255 - pixels(path, 64).mean(2) for path in (tmp_path / "hands" / "Hands").iterdir())
    middle = (dark * np.arange(64)).sum(1) / dark.sum(1)  # of each row
    thumb, wrist = middle[34:48].mean(), middle[58:].mean()
    assert (thumb < wrist) == thumb_on_the_left


def test_nails_are_on_the_back_only() -> None:
    """Told by a red nail polish, which no skin comes near."""
    people = (person(0, number) for number in range(1, 500))
    who = next(who for who in people if who.polish is not None and _is_red(who.polish))

    def red_pixels(aspect: str) -> int:
        image = draw(who, marks(0, who.number, aspect), scene(0, who.number, aspect, 0), 128, aspect == "palmar left")
        return int(_is_red(np.asarray(image) / 255).sum())

    assert red_pixels("dorsal right") > 60
    assert red_pixels("palmar left") == 0


def _is_red(colour: np.ndarray) -> np.ndarray:
    red, green, blue = (colour[..., channel] for channel in range(3))
    return (red - green > 0.35) & (green < 0.3) & (blue < 0.35)


def test_the_manager_can_draw_without_torch() -> None:
    program = "import sys, engine.data.synthetic; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_a_disk_that_fills_up_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    program = f"""
import resource
from pathlib import Path
from engine.data.synthetic import write
resource.setrlimit(resource.RLIMIT_FSIZE, (800, 800))  # bytes a file
write(Path({str(tmp_path / "hands")!r}), 60, 2, 2, seed=0, size=32)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 1 and "OSError" in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_demo_is_drawn_once_even_if_two_ask_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "DEMO", replace(folder_module.DEMO, train_identities=2, test_identities=1))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(synthetic.ensure, [tmp_path / "cache"] * 4))
    assert list((tmp_path / "cache").iterdir()) == answers[:1] == list(set(answers))
    before = {path: path.stat().st_mtime_ns for path in answers[0].rglob("*")}
    assert len(before) == 2 + 27 and synthetic.ensure(tmp_path / "cache") == answers[0]
    assert {path: path.stat().st_mtime_ns for path in answers[0].rglob("*")} == before


def test_a_changed_generator_never_reuses_old_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "DEMO", replace(folder_module.DEMO, train_identities=1, test_identities=1))
    old = synthetic.ensure(tmp_path)
    monkeypatch.setattr(folder_module, "VERSION", folder_module.VERSION + 1)
    assert synthetic.ensure(tmp_path) != old


def test_raw_pixels_do_not_solve_the_demo(tmp_path: Path) -> None:
    """Rank-1 of 32x32 pixels by cosine on the demo's test identities: above chance (1/48), at most one half."""
    demo = folder_module.DEMO
    synthetic.write(tmp_path / "hands", 1, demo.test_identities, demo.images, demo.seed, demo.size)
    tested = rows(tmp_path / "hands")[demo.images :]
    features = np.stack([pixels(tmp_path / "hands" / "Hands" / row["imageName"]).ravel() for row in tested])
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    similarity = (features @ features.T).reshape(demo.test_identities, demo.images, demo.test_identities, demo.images)
    hits = []
    for trial in range(demo.images):  # every image is the gallery of its identity once
        queries = [index for index in range(demo.images) if index != trial]
        nearest = similarity[:, queries][..., trial].argmax(-1)
        hits.append((nearest == np.arange(demo.test_identities)[:, None]).mean())
    assert 0.05 < np.mean(hits) <= 0.5


def test_a_folder_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(UserError, match="name a new folder"):
        synthetic.write(tmp_path / "mine", 1, 1, 1, seed=0, size=32)
    assert content(tmp_path) == {"mine/notes.txt": b"keep"}


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"train_identities": 1038}, "1037"),
        ({"train_identities": 0}, "train"),
        ({"test_identities": 0}, "test"),
        ({"images": 0}, "image"),
        ({"seed": -1}, "seed"),
        ({"size": 8}, "16 pixels"),
        ({"aspects": ()}, "Aspects"),
        ({"aspects": ("dorsal-right",)}, "Aspects"),
        ({"aspects": ("dorsal right", "dorsal right")}, "Aspects"),
    ],
)
def test_arguments_out_of_range_are_refused_in_a_sentence(
    tmp_path: Path, changed: dict[str, object], complaint: str
) -> None:
    usual = {"train_identities": 1, "test_identities": 1, "images": 1, "seed": 0}
    with pytest.raises(UserError, match=complaint):
        synthetic.write(tmp_path / "hands", **usual | changed)
    assert list(tmp_path.iterdir()) == []
