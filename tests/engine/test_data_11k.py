"""11k Hands: the published counts, the two galleries, the pooled aspects, and tables that are not as they should be."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contract.config import DataConfig
from engine.contract.errors import UserError
from engine.data.catalog import Image, Split
from engine.data.check import check_folder
from engine.data.split import open_split
from tests.support.data_folders import BETWEEN, ELEVEN_K, HEADER, MINI, full_11k, row, small_11k, write_11k

COUNTS = ["images", "used", "identities", "train_identities", "train_all", "train", "val"]
COUNTS += ["test_identities", "test", "query", "gallery", "gallery_all"]
PUBLISHED = {
    "dorsal-right": (2892, 2004, 143, 72, 962, 890, 72, 71, 1042, 971, 71, 290),
    "dorsal-left": (2788, 1869, 146, 73, 808, 735, 73, 73, 1061, 988, 73, 290),
    "palmar-right": (2813, 1965, 143, 72, 977, 905, 72, 71, 988, 917, 71, 290),
    "palmar-left": (2583, 2027, 151, 76, 1004, 928, 76, 75, 1023, 948, 75, 290),
}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return full_11k(tmp_path_factory.mktemp("data") / "11k")


def test_the_made_table_has_the_shape_of_the_published_one(full: Path) -> None:
    with (full / "HandInfo.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 11076
    assert len({row["id"] for row in rows}) == 190
    assert len({int(row["id"]) for row in rows}) == 189


@pytest.mark.parametrize("aspect", PUBLISHED)
def test_every_published_count_is_reproduced(full: Path, aspect: str) -> None:
    checked = check_folder(full)
    assert checked["format"] == "11k"
    assert checked["subsets"][aspect] == dict(zip(COUNTS, PUBLISHED[aspect], strict=True))


def test_the_check_is_json_and_lists_the_four_aspects_before_all(full: Path) -> None:
    assert list(json.loads(json.dumps(check_folder(full)))["subsets"]) == [*PUBLISHED, "all"]


@pytest.mark.parametrize("aspect", PUBLISHED)
def test_an_aspect_is_divided_at_its_own_published_identity(full: Path, aspect: str) -> None:
    split = open_split(DataConfig(source=str(full), subset=aspect, gallery="own"))
    last = ELEVEN_K[aspect.replace("-", " ")][-1]
    assert max(person(split, i) for i in split.train + split.val) <= last < min(person(split, i) for i in split.test)


def test_nobody_who_is_tested_in_any_aspect_is_trained_on_when_all_are_pooled(full: Path) -> None:
    pooled = open_split(DataConfig(source=str(full), subset="all"))
    trained = {person(pooled, i) for i in pooled.train + pooled.val}
    for aspect in PUBLISHED:
        split = open_split(DataConfig(source=str(full), subset=aspect))
        assert not trained & {person(split, i) for i in split.test}
    assert not trained & set(BETWEEN)


def test_pooled_aspects_of_one_person_are_identities_of_their_own(tmp_path: Path) -> None:
    split = open_split(DataConfig(source=str(small_11k(tmp_path / "11k")), subset="all"))
    assert split.classes[:2] == ("dorsal-left/1", "dorsal-left/2")
    assert len(split.classes) == 16
    assert all(len(trial.gallery) == 16 and len(trial.query) == 32 for trial in split.trials)


def test_the_merged_gallery_adds_the_other_aspects_own_gallery_images(tmp_path: Path) -> None:
    root = str(small_11k(tmp_path / "11k"))
    merged = open_split(DataConfig(source=root, subset="dorsal-right"))
    galleries = [open_split(DataConfig(source=root, subset=aspect, gallery="own")) for aspect in PUBLISHED]
    for number, trial in enumerate(merged.trials):
        expected = {own.images[i] for own in galleries for i in own.trials[number].gallery}
        assert {merged.images[i] for i in trial.gallery} == expected
        assert [merged.images[i] for i in trial.query] == queries(galleries[0], number)
        assert {merged.images[i].identity.split("/")[0] for i in trial.query} == {"dorsal-right"}
    assert "palmar-left/2001" in {image.identity for image in merged.images}
    assert {merged.images[i].identity.split("/")[0] for i in merged.test} == {"dorsal-right"}


def test_the_own_gallery_holds_no_other_aspect(tmp_path: Path) -> None:
    split = open_split(DataConfig(source=str(small_11k(tmp_path / "11k")), subset="palmar-right", gallery="own"))
    assert split.gallery == "own"
    assert {image.identity.split("/")[0] for image in split.images} == {"palmar-right"}


def test_images_with_accessories_are_never_used(tmp_path: Path) -> None:
    rows = [row(p, f"{p}_{n}.jpg", accessories=int(n == 2)) for p in (1, 2, 3000, 3001) for n in range(4)]
    root = write_11k(tmp_path / "11k", rows, [f"{p}_{n}.jpg" for p in (1, 2, 3000, 3001) for n in range(4)])
    split = open_split(DataConfig(source=str(root)))
    assert not [image.name for image in split.images if image.name.endswith("_2.jpg")]
    assert check_folder(root)["subsets"]["dorsal-right"]["images"] == 16


@pytest.mark.parametrize("place", ["beside", "inside", "hands itself", "hands itself, table inside"])
def test_the_root_may_be_given_as_people_have_it(tmp_path: Path, place: str) -> None:
    root = small_11k(tmp_path / "11k")
    expected = open_split(DataConfig(source=str(root))).fingerprint
    if "inside" in place:
        (root / "HandInfo.csv").rename(root / "Hands" / "HandInfo.csv")
    split = open_split(DataConfig(source=str(root / "Hands" if "itself" in place else root)))
    assert split.fingerprint == expected
    assert all((split.root / image.path).is_file() for image in split.images)


@pytest.mark.parametrize(
    "encode",
    [lambda t: b"\xef\xbb\xbf" + t.encode(), lambda t: t.encode("utf-16"), lambda t: t.replace("\n", "\r\n").encode()],
)
def test_a_table_that_a_spreadsheet_saved_reads_the_same(tmp_path: Path, encode: Callable[[str], bytes]) -> None:
    root = small_11k(tmp_path / "11k")
    expected = check_folder(root)
    table = root / "HandInfo.csv"
    table.write_bytes(encode(table.read_text()))
    assert check_folder(root) == expected


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (row("12a", "a.jpg"), "line 2: the id '12a' is not a whole number"),
        (row("-3", "a.jpg"), "the id '-3' is not a whole number"),
        (row("", "a.jpg"), "the id '' is not a whole number"),
        (row("9" * 5000, "a.jpg"), "is not a whole number"),
        (row(1, "../a.jpg"), "the image name '../a.jpg' is not the plain name of a file"),
        (row(1, "Hands/a.jpg"), "is not the plain name"),
        (row(1, "Hands\\a.jpg"), "is not the plain name"),
        (row(1, ".."), "is not the plain name"),
        (row(1, ""), "is not the plain name"),
        (row(1, "a.jpg", aspect="dorsal"), "aspectOfHand is 'dorsal', but must be one of dorsal right"),
        (row(1, "a.jpg", accessories="x"), "accessories is 'x', but must be 0 or 1"),
        ('"1",27,"male"', "has 3 values, but the first line has 9 columns"),
        (row(1, "a.jpg") + "\n" + row(1, "a.jpg"), "line 3: the image a.jpg already has a row"),
        ("", "has no rows"),
    ],
)
def test_a_wrong_row_is_named_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    root = write_11k(tmp_path / "11k", [line], ["a.jpg"])
    with pytest.raises(UserError) as error:
        check_folder(root)
    assert said in str(error.value)
    assert str(root / "HandInfo.csv") in str(error.value)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    root = write_11k(tmp_path / "11k", [], [], header="id,accessories,aspect")
    with pytest.raises(UserError, match="no column aspectOfHand, imageName"):
        check_folder(root)


def test_one_percent_of_the_images_may_be_missing_and_more_may_not(tmp_path: Path) -> None:
    names = [(p, f"{p}_{n}.jpg") for p in (1, 2, 3000, 3001) for n in range(50)]
    root = write_11k(tmp_path / "11k", [row(*name) for name in names], [name for _, name in names])
    for name in ("1_0.jpg", "3000_7.jpg"):
        (root / "Hands" / name).unlink()
    split = open_split(DataConfig(source=str(root)))
    assert len(split.images) == 198
    assert "2 of 200 images" in split.warnings[0]
    assert "first 1_0.jpg" in split.warnings[0]
    (root / "Hands" / "2_2.jpg").unlink()
    with pytest.raises(UserError, match=r"3 of 200 images .* first 1_0\.jpg.* Restore them"):
        open_split(DataConfig(source=str(root)))


def test_a_folder_of_hands_without_its_table_says_so(tmp_path: Path) -> None:
    root = small_11k(tmp_path / "11k")
    (root / "HandInfo.csv").unlink()
    with pytest.raises(UserError, match=r"no HandInfo\.csv"):
        check_folder(root)


VALID = ("\n".join([HEADER, *(row(p, f"{p}.jpg") for p in (1, 2, 3000, 3001))]) + "\n").encode()
JUNK = st.one_of(
    st.binary(max_size=400),
    st.text(max_size=200).map(lambda text: HEADER.encode() + b"\n" + text.encode("utf-8", "replace")),
    st.lists(st.lists(st.text('01",\0\r\n;éa /.\\-', max_size=6), max_size=12), max_size=6).map(
        lambda rows: HEADER.encode() + b"\n" + "\n".join(",".join(values) for values in rows).encode()
    ),
    st.tuples(st.integers(0, len(VALID)), st.integers(0, 40), st.binary(max_size=12)).map(
        lambda cut: VALID[: cut[0]] + cut[2] + VALID[cut[0] + cut[1] :]
    ),
)


@pytest.fixture(scope="module")
def garbled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_11k(tmp_path_factory.mktemp("data") / "11k", [], [f"{p}.jpg" for p in (1, 2, 3000, 3001)])


@settings(max_examples=400, deadline=None, database=None)
@given(table=JUNK)
def test_any_bytes_as_a_table_give_counts_or_one_sentence(garbled: Path, table: bytes) -> None:
    (garbled / "HandInfo.csv").write_bytes(table)
    try:
        assert set(check_folder(garbled)["subsets"]) <= {*PUBLISHED, "all"}
    except UserError as error:
        assert "HandInfo.csv" in str(error)
        assert "\n" not in str(error)


@pytest.mark.skipif(not MINI.is_dir(), reason="the real images are not here")
def test_the_small_real_part_has_the_counts_that_its_table_says() -> None:
    checked = check_folder(MINI, decode=True)
    with (MINI / "HandInfo.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for aspect, (*_, last) in ELEVEN_K.items():
        here = [r for r in rows if r["aspectOfHand"] == aspect]
        people = Counter(int(r["id"]) for r in here if r["accessories"] == "0")
        counts = checked["subsets"][aspect.replace(" ", "-")]
        assert counts["images"] == len(here)
        assert counts["used"] == people.total()
        assert counts["train_identities"] == counts["val"] == sum(p <= last for p in people)
        assert counts["test_identities"] == counts["gallery"] == sum(p > last for p in people)
        assert counts["query"] == sum(n - 1 for p, n in people.items() if p > last)
    right = checked["subsets"]["dorsal-right"]
    assert (right["images"], right["used"], right["identities"]) == (160, 115, 54)
    assert (right["train_identities"], right["test_identities"]) == (30, 24)
    assert checked["undecodable"] == []


def queries(split: Split, trial: int) -> list[Image]:
    return [split.images[i] for i in split.trials[trial].query]


def person(split: Split, position: int) -> int:
    return int(split.images[position].identity.split("/")[1])
