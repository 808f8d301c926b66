"""`handreid identify` as a user calls it: candidates, withheld ratios, and the table of edges."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.cli.test_openset import handreid


def identify(desk: Path, *words: str) -> subprocess.CompletedProcess[str]:
    fixed = ("--gallery", "../gallery", "--runs", "../runs")
    return handreid("identify", "1", *words, *fixed, cwd=desk / "desk")


def found(desk: Path, *words: str) -> dict[str, Any]:
    done = identify(desk, *words, "--json")
    assert done.returncode == 0, done.stderr
    case: dict[str, Any] = json.loads(done.stdout)
    return case


def photo(desk: Path, number: int = 0) -> Path:
    return sorted((desk / "photos").iterdir())[number]


def test_an_enrolled_person_comes_first_with_a_ratio_and_the_gallerys_own_rate(desk: Path) -> None:
    case = found(desk, f"../photos/{photo(desk).name}", "--aspect", "dorsal-right", "--list", "5", "--fpir", "0.2")
    best = case["candidates"][0]
    assert best["person"] == f"known-{photo(desk).stem}"
    assert case["withheld"] == []
    assert best["lr"] and 0 < best["log10_lr"] < 3
    assert 0 <= best["false_candidates"] <= case["candidates"][4]["false_candidates"] <= 1
    assert not case["modelled"] and case["people"] == 12
    assert case["threshold"] is not None
    folder = desk / "desk" / case["folder"]
    assert folder.name == "0001-search"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in folder.iterdir()} == {0o600}


@pytest.mark.long
def test_what_is_printed_never_says_match(desk: Path) -> None:
    done = identify(desk, f"../photos/{photo(desk).name}", "--aspect", "dorsal-right")
    assert "An investigative lead: verify by eye before acting on it. Best of 12 searched" in done.stdout
    assert "H1: the photos are of the candidate. H2: of another, unrelated person" in done.stdout
    report = next((desk / "desk/cases").glob("0001-*/report.html")).read_text()
    for text in (done.stdout, report):
        assert "match" not in text.lower()
    assert "src=" not in report and "http" not in report.replace("http-equiv", "")


@pytest.mark.long
def test_a_person_who_is_not_enrolled_gets_candidates_and_the_rate_that_says_so(desk: Path) -> None:
    shutil.rmtree(desk / "gallery" / f"known-{photo(desk).stem}")
    case = found(desk, f"../photos/{photo(desk).name}", "--aspect", "dorsal-right")
    assert case["people"] == 11
    assert len(case["candidates"]) == 11
    assert all(each["person"] != f"known-{photo(desk).stem}" for each in case["candidates"])
    assert case["candidates"][0]["false_candidates"] > 0


@pytest.mark.long
def test_pictures_are_in_the_report_only_when_asked_for(desk: Path) -> None:
    identify(desk, f"../photos/{photo(desk).name}", "--pictures")
    assert 'src="data:image/jpeg;base64,' in next((desk / "desk/cases").glob("0001-*/report.html")).read_text()


@pytest.mark.long
def test_several_photos_are_one_template_and_cases_are_numbered(desk: Path) -> None:
    name = photo(desk).name
    shutil.copy(desk / "photos" / name, desk / "photos" / "again.jpg")
    first = found(desk, f"../photos/{name}", "../photos/again.jpg", "--name", "Case 7/2026")
    assert [len(first["photos"]), first["notes"][0]] == [1, "1 photo given more than once: each photo is used once."]
    second = found(desk, f"../photos/{name}", f"../photos/{photo(desk, 1).name}")
    assert len(second["photos"]) == 2
    names = sorted(each.name for each in (desk / "desk/cases").iterdir() if each.is_dir())
    assert names == ["0001-Case-7-2026", "0002-search"]


@pytest.mark.parametrize("words", [["--calibration", "missing.json"], ["--aspect", "dorsal"], ["--fpir", "3"]])
def test_a_mistake_makes_no_case(desk: Path, words: list[str]) -> None:
    done = identify(desk, f"../photos/{photo(desk).name}", *words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not list((desk / "desk").glob("cases/*"))


@pytest.mark.long
def test_a_photo_that_cannot_be_decoded_is_an_error_and_a_reference_is_listed(desk: Path) -> None:
    whole = photo(desk).read_bytes()
    (desk / "photos" / "torn.jpg").write_bytes(whole[: len(whole) // 3])
    done = identify(desk, "../photos/torn.jpg")
    assert done.returncode == 2 and "torn.jpg cannot be decoded" in done.stderr
    assert not [each for each in (desk / "desk/cases").iterdir() if each.is_dir()]
    person = sorted((desk / "gallery").iterdir())[0]
    (person / "text.jpg").write_text("not a picture")
    (person / "notes.txt").write_text("not listed")
    case = found(desk, f"../photos/{photo(desk).name}")
    assert case["not_searched"] == 1
    assert any("1 reference not searched" in note and "text.jpg" in note for note in case["notes"])


@pytest.mark.long
def test_pictures_of_every_kind_are_read(desk: Path) -> None:
    person = desk / "gallery" / "kinds"
    person.mkdir()
    with Image.open(photo(desk)) as image:
        image.convert("CMYK").save(person / "cmyk.jpg")
        image.convert("L").convert("I;16").point(lambda value: value * 256).save(person / "deep.png")
        rotated = Image.Exif()
        rotated[274] = 6
        image.rotate(90, expand=True).save(person / "rotated.jpg", exif=rotated, quality=95)
        image.resize((12_000, 400)).save(person / "wide.png")
    case = found(desk, f"../photos/{photo(desk).name}")
    assert case["not_searched"] == 0
    listed = next((desk / "desk/cases").glob("0001-*/gallery.csv")).read_text()
    assert all(f"kinds/{name}" in listed for name in ("cmyk.jpg", "deep.png", "rotated.jpg", "wide.png"))


@pytest.mark.long
def test_the_photo_itself_in_the_gallery_is_left_out_and_a_copy_is_noted(desk: Path) -> None:
    person = desk / "gallery" / f"known-{photo(desk).stem}"
    shutil.copy(photo(desk), person / "the-same.jpg")
    with Image.open(photo(desk)) as image:
        image.save(person / "a-copy.png")
    case = found(desk, f"../photos/{photo(desk).name}")
    assert any("the-same.jpg is the same file as a photo" in note for note in case["notes"])
    assert any("a-copy.png may be a near-duplicate of a photo" in note for note in case["notes"])
    assert len(case["candidates"][0]["references"]) == 4


@pytest.mark.long
def test_a_gallery_of_one_has_no_ranking(desk: Path) -> None:
    for person in sorted((desk / "gallery").iterdir())[1:]:
        shutil.rmtree(person)
    case = found(desk, f"../photos/{photo(desk).name}", "--aspect", "dorsal-right")
    assert case["people"] == 1 and len(case["candidates"]) == 1
    assert "The gallery contains one person only: there is no ranking." in case["notes"]
    assert 0 <= case["candidates"][0]["false_candidates"] <= 1


@pytest.mark.long
def test_equal_people_share_a_rank_and_a_list_never_cuts_a_tie(desk: Path) -> None:
    person = desk / "gallery" / f"known-{photo(desk).stem}"
    for copy in ("twin-a", "twin-b"):
        shutil.copytree(person, desk / "gallery" / copy)
    case = found(desk, f"../photos/{photo(desk).name}", "--list", "1")
    assert [each["place"] for each in case["candidates"]] == ["1=", "1=", "1="]


def test_an_empty_gallery_is_one_sentence(desk: Path) -> None:
    shutil.rmtree(desk / "gallery")
    assert "There is no folder" in identify(desk, f"../photos/{photo(desk).name}").stderr
    (desk / "gallery").mkdir()
    assert "contains no folder with images" in identify(desk, f"../photos/{photo(desk).name}").stderr


@pytest.mark.long
def test_features_of_a_gallery_are_kept_by_hash_in_a_file_of_the_users(desk: Path) -> None:
    words = (f"../photos/{photo(desk).name}", "--features", "known.safetensors")
    first = identify(desk, *words)
    assert "Embedded 36 of 36 images" in first.stderr
    shutil.copytree(desk / "gallery", desk / "moved")
    shutil.rmtree(desk / "gallery")
    (desk / "moved").rename(desk / "gallery")
    second = identify(desk, *words)
    assert "Embedded" not in second.stderr
    assert second.stdout.splitlines()[2:5] == first.stdout.splitlines()[2:5]


def test_nothing_is_written_into_the_gallery_or_beside_a_photo(desk: Path) -> None:
    for words in (["--cases", "../gallery/cases"], ["--cases", "../photos/cases"], ["--features", "../photos/f.st"]):
        done = identify(desk, f"../photos/{photo(desk).name}", *words)
        assert done.returncode == 2
        assert "nothing is written there" in done.stderr
