"""A case opens on Retrieval: the photo, the candidates with their LRs or the reason why there are none, no verdict."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from handreid_tui.casework.case import Candidate, Case, CaseImage
from handreid_tui.settings import Places
from handreid_tui.ui.screens.retrieval.tile import Tile
from tests.casework.test_no_traces import snapshot
from tests.support.tui_tools import opened, shows, text_of


def image(path: Path, shade: int) -> CaseImage:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48), (shade, 255 - shade, 120)).save(path)
    return CaseImage(path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest(), width=64, height=48)


def write_case(folder: Path, withheld: list[str] | None = None, people: int = 12) -> Path:
    """A case `cases/0003-search` with pictures in `known` and `photos`."""
    candidates = [
        Candidate(
            place=str(n + 1),
            person=f"known-{n}",
            cosine=0.99 - n / 100,
            lr="" if withheld else str(50 - n),
            log10_lr=None if withheld else 1.7,
            lr_withheld="",
            false_candidates=None if withheld else 0.25 + n / 100,
            above_threshold=None,
            references=[image(folder / "known" / str(n) / "a.png", 20 * n)],
        )
        for n in range(people)
    ]
    photos = [image(folder / "photos" / f"{n}.png", 200 + n) for n in range(2)]
    about: dict[str, Any] = {"name": "search", "created": "", "program": "", "run": "0001-ce", "run_directory": ""}
    about |= {"weights": "", "image_size": 64, "patch": None, "device": "cpu", "aspect": "palmar-left", "gallery": ""}
    about |= {"images": people, "not_searched": 0, "database": "", "calibration": None, "fpir": None, "threshold": None}
    about |= {"measured": "" if withheld else "single images of 30 people", "least_rate": 0.1, "modelled": False}
    case = Case(**about, people=people, photos=photos, candidates=candidates, withheld=withheld or [], notes=[])
    place = folder / "cases" / "0003-search"
    place.mkdir(parents=True)
    (place / "case.json").write_text(json.dumps(case.model_dump(mode="json")))
    return place


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_a_case_opens_by_key_from_any_page_and_writes_nothing(size, tmp_path, monkeypatch):
    write_case(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = snapshot(tmp_path / "known"), snapshot(tmp_path / "photos"), snapshot(tmp_path / "cases")
    async with opened(Places(tmp_path / "runs.db", tmp_path / "runs"), "launch", size) as (app, pilot):
        await pilot.press("ctrl+o")
        await shows(pilot, "Open a case")
        await pilot.press("enter")
        await shows(pilot, "12 people searched")
        seen = " ".join(text_of(app).split())
        assert "An investigative lead: verify by eye" in seen and "photo 1 of 2" in seen
        assert "0.990, LR 50" in seen and " 1 known-0 " in seen
        assert "Candidate 1: known-0, cosine 0.9900, LR 50, 25.0 % without the person." in seen
        assert not {"✓", "✗"} & set(seen) and "match" not in seen
        tiles = [tile for tile in app.screen.query(Tile) if not tile.has_class("none")]
        assert not any(tile.has_class("right") or tile.has_class("wrong") for tile in tiles)
        await pilot.press("n")
        await shows(pilot, "photo 2 of 2")
        await pilot.press("right_square_bracket")
        await shows(pilot, " 7 known-6 " if size[0] == 80 else " 11 known-10 ")
        await pilot.press("enter")
        await shows(pilot, "candidate 7, known-6: LR 44" if size[0] == 80 else "candidate 11, known-10: LR 40")
        assert "no match" not in text_of(app)
        await pilot.press("escape", "escape")
        await shows(pilot, "No finished run")
    assert before == (snapshot(tmp_path / "known"), snapshot(tmp_path / "photos"), snapshot(tmp_path / "cases"))


async def test_a_withheld_ratio_has_its_reason_and_a_changed_photo_is_not_shown(tmp_path):
    folder = write_case(tmp_path, ["the calibration has 12 people, and an LR requires at least 20"])
    Image.new("RGB", (64, 48)).save(tmp_path / "photos" / "0.png")
    async with opened(Places(tmp_path / "runs.db", tmp_path / "runs"), "runs", (160, 48)) as (app, pilot):
        app.open_case(folder)
        await shows(pilot, "No likelihood ratio: the calibration has 12 people, and an LR requires at least 20.")
        await shows(pilot, "not readable, or changed since the search")
        assert "without the person" not in text_of(app) and "unknown: there is no calibration" in text_of(app)


async def test_a_case_that_is_not_there_is_refused_in_the_dialog(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with opened(Places(tmp_path / "runs.db", tmp_path / "runs"), "launch", (100, 30)) as (_, pilot):
        await pilot.press("ctrl+o", "9")
        await shows(pilot, "No such case in cases: last9")


def test_the_command_line_refuses_it_likewise(tmp_path):
    def handreid(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "handreid_tui", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    done = handreid("--case", "7")
    assert (done.returncode, done.stderr) == (2, "Error: No such case in cases: 7\n")
    done = handreid("--case", "7", "runs")
    assert done.returncode == 2 and "without a command" in done.stderr
