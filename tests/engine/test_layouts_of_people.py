"""Data sets as people have them: each is read, or answered with the sentence that helps."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.contract.config import DataConfig, resolve
from engine.contract.errors import UserError
from engine.contract.layouts import LAYOUTS, formats, markdown_table
from engine.data.check import check_folder
from engine.data.split import open_split
from tests.support.data_folders import HEADER, row, small_11k, write_11k, write_tree

ROOT = Path(__file__).parents[2]


def fingerprint(root: Path) -> str:
    split = open_split(DataConfig(source=str(root)))
    assert all((split.root / image.path).is_file() for image in split.images)
    return split.fingerprint


def edited(root: Path, change: Callable[[str], str]) -> Path:
    table = root / "HandInfo.csv"
    table.write_text(change(table.read_text()))
    return root


# 11k Hands, moved


def as_kaggle(root: Path) -> None:
    (root / "Hands").rename(root / "inner")
    (root / "Hands").mkdir()
    (root / "inner").rename(root / "Hands" / "Hands")


def under_another_name(root: Path) -> None:
    (root / "Hands").rename(root / "my pictures")


def two_levels_down(root: Path) -> None:
    (root / "archive" / "raw").mkdir(parents=True)
    (root / "Hands").rename(root / "archive" / "raw" / "images")


def sorted_by_aspect(root: Path) -> None:
    for image in list((root / "Hands").iterdir()):
        folder = root / "Hands" / f"aspect {image.name[5]}"
        folder.mkdir(exist_ok=True)
        image.rename(folder / image.name)


def beside_the_table(root: Path) -> None:
    for image in list((root / "Hands").iterdir()):
        image.rename(root / image.name)
    (root / "Hands").rmdir()


def upper_case_suffixes(root: Path) -> None:
    for image in list((root / "Hands").iterdir()):
        image.rename(image.with_suffix(".JPG"))


def converted_to_png(root: Path) -> None:
    for image in list((root / "Hands").iterdir()):
        image.rename(image.with_suffix(".png"))


@pytest.mark.parametrize(
    "move",
    [
        as_kaggle,
        under_another_name,
        two_levels_down,
        sorted_by_aspect,
        beside_the_table,
        upper_case_suffixes,
        converted_to_png,
    ],
)
def test_11k_hands_is_the_same_wherever_its_images_are(tmp_path: Path, move: Callable[[Path], None]) -> None:
    root = small_11k(tmp_path / "11k")
    before = fingerprint(root)
    move(root)
    assert fingerprint(root) == before
    assert check_folder(root)["trainable"]


@pytest.mark.parametrize("place", ["Hands", "Hands/Hands"])
def test_the_inner_folder_of_kaggle_may_be_given(tmp_path: Path, place: str) -> None:
    root = small_11k(tmp_path / "11k")
    before = fingerprint(root)
    as_kaggle(root)
    assert fingerprint(root / place) == before


def test_two_files_that_differ_in_case_are_not_guessed_between(tmp_path: Path) -> None:
    root = small_11k(tmp_path / "11k")
    image = sorted((root / "Hands").iterdir())[0]
    shutil.copy(image, image.with_suffix(".Jpg"))
    image.rename(image.with_suffix(".JPG"))
    with pytest.raises(UserError, match="1 of 96 images"):
        check_folder(root)


def test_a_table_without_its_images_says_where_to_put_them(tmp_path: Path) -> None:
    root = small_11k(tmp_path / "11k")
    shutil.move(root / "Hands", tmp_path / "elsewhere")
    with pytest.raises(UserError, match="put the table beside the folder with the images"):
        check_folder(root)


# HandInfo, saved again


def with_row_numbers(text: str) -> str:
    header, *rows = text.splitlines()
    return "\n".join([f",{header}", *(f"{number},{line}" for number, line in enumerate(rows))])


def without_header(text: str) -> str:
    return text.partition("\n")[2]


def as_uuid(text: str) -> str:
    return text.replace("id,age", "uuid,age", 1)


def in_other_words(text: str) -> str:
    return text.replace("aspectOfHand,imageName", "Aspect_of_hand, Image Name ", 1).replace(
        "dorsal right", "Right-Dorsal"
    )


def as_floats(text: str) -> str:
    header, *rows = text.splitlines()
    return "\n".join([header, *(line.replace('",27', '.0",27', 1).replace(",0,0,", ",0.0,0,", 1) for line in rows)])


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", "\t"),
        lambda text: text.replace(",", "|"),
        lambda text: "sep=;\r\n" + text.replace(",", ";"),
        with_row_numbers,
        without_header,
        lambda text: without_header(text).replace(",", ";"),
        lambda text: without_header(with_row_numbers(text)),
        as_uuid,
        in_other_words,
        as_floats,
        lambda text: text.replace("\n", "\r\n") + "\r\n\r\n",
    ],
)
@pytest.mark.parametrize("name", ["HandInfo.csv", "HandInfo.txt", "handinfo.CSV", "Hand_Info.tsv"])
def test_the_table_is_the_same_as_programs_save_it(tmp_path: Path, change: Callable[[str], str], name: str) -> None:
    root = small_11k(tmp_path / "11k")
    before = fingerprint(root)
    edited(root, change)
    (root / "HandInfo.csv").rename(root / name)
    assert fingerprint(root) == before


def test_utf_16_without_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    root = small_11k(tmp_path / "11k")
    before = fingerprint(root)
    table = root / "HandInfo.csv"
    table.write_bytes(table.read_text().encode("utf-16-le"))
    assert fingerprint(root) == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "run `git lfs pull`"),
        ("id:accessories:aspectOfHand:imageName\n", "separated by a comma, a semicolon or a tab"),
        ("id;accessories;aspect\n1;0;dorsal right\n", "no column aspectOfHand, imageName.*3 columns separated by ';'"),
        ("1,27,male,fair,0,0,dorsal right\n", "no column"),
    ],
)
def test_a_table_that_cannot_be_read_names_the_way_out(tmp_path: Path, text: str, said: str) -> None:
    root = edited(small_11k(tmp_path / "11k"), lambda _: text)
    with pytest.raises(UserError, match=said):
        check_folder(root)


# Flat folders and patterns

FLAT = {
    "number_shot": [f"{person:03d}_{shot}.jpg" for person in range(6) for shot in range(3)],
    "windows copies": [f"{person:03d}_IMG__ ({shot}).JPG" for person in range(6) for shot in range(3)],
    "sides": [f"{person}-{side}{shot}.JPG" for person in range(4) for side in "LR" for shot in range(3)],
    "words": [f"person{person:02d}_{shot}.jpg" for person in range(6) for shot in range(3)],
    "people": [f"{person} ({shot}).png" for person in ("anna", "ben", "cleo", "dan") for shot in range(3)],
}
IDENTITIES = {"number_shot": 6, "windows copies": 6, "sides": 8, "words": 6, "people": 4}


@pytest.mark.parametrize("names", FLAT)
def test_a_flat_folder_is_answered_with_a_pattern_that_reads_it(tmp_path: Path, names: str) -> None:
    root = write_tree(tmp_path / "flat", {".": FLAT[names]})
    with pytest.raises(UserError) as error:
        check_folder(root)
    assert f"{len(FLAT[names])} images outside of any folder" in str(error.value)
    pattern = str(error.value).partition("identity pattern to '")[2].partition("'")[0]
    checked = check_folder(root, identity_pattern=pattern)
    assert checked["format"] == "names"
    assert checked["subsets"]["all"]["identities"] == IDENTITIES[names]
    assert checked["verdict"] == "It can be trained on."


def test_names_without_an_identity_are_offered_no_pattern(tmp_path: Path) -> None:
    for number, names in enumerate((["a.jpg", "b.jpg"], [f"IMG{n}.jpg" for n in range(9)], ["1_1.jpg", "2_1.jpg"])):
        with pytest.raises(UserError) as error:
            check_folder(write_tree(tmp_path / str(number), {".": names}))
        assert "identity pattern" not in str(error.value)


def test_sessions_above_identities_are_read_by_a_pattern_on_the_path(tmp_path: Path) -> None:
    files = {f"session{s}/p{p}": ["1.jpg", "2.jpg"] for s in (1, 2) for p in range(4)}
    root = write_tree(tmp_path / "sessions", files)
    with pytest.raises(UserError, match=r"16 images in folders inside folders.*identity pattern to '\^\[\^/\]\+/"):
        check_folder(root)
    checked = check_folder(root, identity_pattern="^[^/]+/([^/]+)/")
    assert checked["subsets"]["all"]["identities"] == 4 and checked["subsets"]["all"]["images"] == 16


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(", "not a regular expression"),
        ("abc", "needs one group"),
        ("(a)(b)", "needs one group"),
        ("x" * 600, "500 characters"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_one_sentence(tmp_path: Path, pattern: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        resolve("ce", **{"data.identity_pattern": pattern})
    with pytest.raises(UserError, match=said):
        check_folder(tmp_path, identity_pattern=pattern)


def test_names_that_do_not_match_are_counted(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "flat", {".": [*FLAT["number_shot"], "cover.jpg"]})
    with pytest.raises(UserError, match=r"1 of 19 images do not match '\^\(\\\\d\+\)_', first cover.jpg"):
        check_folder(root, identity_pattern=r"^(\d+)_")
    with pytest.raises(UserError, match="leave out the pattern"):
        check_folder(root, "folder", identity_pattern=r"^(\d+)_")


def test_run_check_and_evaluate_take_a_pattern_from_the_command_line(tmp_path: Path, hands: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, picture in enumerate(sorted((hands / "Hands").iterdir())[:36]):
        shutil.copy(picture, flat / f"{number // 6:03d}_{number % 6}.jpg")

    def handreid(*words: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "handreid_tui", *words, "--json", "--identity-pattern", r"^(\d{1,3})_"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    assert handreid("data", "check", str(flat))["subsets"]["all"]["identities"] == 6
    run = handreid("run", "--combo", "zero_shot", "--model", "handreid-tiny", "--data", str(flat))
    config = json.loads((tmp_path / run["run_dir"] / "config.json").read_text())["data"]
    assert (config["format"], config["identity_pattern"]) == ("names", r"^(\d{1,3})_")
    assert handreid("evaluate", "1", "--data", str(flat))["rank1"] == pytest.approx(run["rank1"])


# Folders that are not identities


@pytest.mark.parametrize(
    "folders",
    [["session1", "session2"], ["set_a", "set_b", "x"], ["left", "right"], ["images"], ["Day 1", "Day 2", "Day 3"]],
)
def test_sessions_and_sets_are_doubted(tmp_path: Path, folders: list[str]) -> None:
    files = {name: [f"{person:03d}_{shot}.jpg" for person in range(10) for shot in range(5)] for name in folders}
    checked = check_folder(write_tree(tmp_path / "sets", files))
    doubt = next(warning for warning in checked["warnings"] if "may be sessions or sets" in warning)
    assert "the identity pattern to '^(\\d+)[-_ ]' (10 identities: 000, 001, 002 …)" in doubt


def test_few_people_with_few_images_are_not_doubted(tmp_path: Path) -> None:
    files = {name: [f"{shot}.jpg" for shot in range(5)] for name in ("anna", "s01", "P2", "012")}
    assert not any("sessions" in warning for warning in check_folder(write_tree(tmp_path / "few", files))["warnings"])


def test_an_archive_that_was_unpacked_into_a_folder_is_found(tmp_path: Path) -> None:
    small_11k(tmp_path / "download" / "11k-hands")
    with pytest.raises(UserError, match=r"11k-hands looks like one: give that folder"):
        check_folder(tmp_path / "download")


# One place for a layout

NEW = """
import sys, types
from pathlib import Path
from engine.contract import layouts
layouts.LAYOUTS["twins"] = layouts.Layout("a file `twins.txt`", "`all`", "twins.txt", "twins", drawn=True)
module = types.ModuleType("twins")
def recognise(root, options): return (root / "twins.txt").is_file()
def read(root, options):
    from engine.data.catalog import Catalog, Image
    from engine.data.layouts.drawn import subset_of
    images = [Image(f"{p}{n}.jpg", f"{p}{n}.jpg", p) for p in "abcd" for n in range(3)]
    return Catalog(root, "twins", "twins", {"all": subset_of(images, options.seed)[0]})
module.recognise, module.read = recognise, read
sys.modules["twins"] = module
"""


def test_a_layout_is_added_in_one_place(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "data", {".": ["twins.txt", *(f"{p}{n}.jpg" for p in "abcd" for n in range(3))]})

    def output(code: str) -> str:
        done = subprocess.run([sys.executable, "-c", NEW + code], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return done.stdout

    command = "from handreid_tui.__main__ import main; sys.argv[1:] = {}; main()"
    assert "twins" in output(command.format(["run", "--help"]))
    assert "twins" in output(command.format(["data", "check", "--help"]))
    checked = json.loads(output(command.format(["data", "check", str(root), "--json"])))
    assert (checked["format"], checked["trainable"]) == ("twins", ["all"])
    config = "from engine.contract.config import DataConfig; print(DataConfig(format='twins').format)"
    assert output(config).strip() == "twins"
    assert "| `twins` | a file `twins.txt` | `all` |" in output("print(layouts.markdown_table())")
    (tmp_path / "empty").mkdir()
    missing = f"from engine.data.check import check_folder\ntry: check_folder({str(tmp_path / 'empty')!r})\n"
    assert "or twins.txt." in output(missing + "except Exception as error: print(error)")


def test_every_layout_is_in_the_documentation() -> None:
    assert markdown_table() in (ROOT / "docs" / "data.md").read_text()
    assert formats() == ("auto", *LAYOUTS)
    with pytest.raises(UserError, match="'names'"):
        resolve("ce", **{"data.format": "zip"})


def test_the_published_header_is_the_one_that_is_assumed(tmp_path: Path) -> None:
    root = write_11k(tmp_path / "11k", [row(1, "a.jpg"), row(2001, "b.jpg")], ["a.jpg", "b.jpg"])
    assert edited(root, without_header).is_dir()
    assert check_folder(root)["subsets"]["all"]["images"] == 2
    assert HEADER.split(",")[7] == "imageName"


def test_files_of_the_kernel_are_not_opened() -> None:  # a reader of /proc/kmsg waits until the kernel has news
    code = "from engine.data.layouts.files import Path, list_folder; list_folder(Path('/proc'), Path('/proc'))"
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)
