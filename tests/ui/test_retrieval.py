"""The page Retrieval: every tile says which identity was found, and how alike it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.color import ColorSystem
from rich.style import Style

from handreid_tui.settings import Places
from handreid_tui.ui.preferences import Remembered
from handreid_tui.ui.screens.retrieval.pair import PairView
from handreid_tui.ui.screens.retrieval.picture import GRAYS, Part, strips
from handreid_tui.ui.screens.retrieval.queries import shared_prefix, short_identity
from handreid_tui.ui.screens.retrieval.tile import Drawing, Tile
from tests.support.planted_runs import clusters, identities, plant
from tests.support.pty_terminal import PtyTerminal
from tests.support.tui_tools import opened, shows, text_of, until


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (139, 30), (160, 48)], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("subsets", [("dorsal-right",), ("dorsal-right", "palmar-left")], ids=["one", "two"])
async def test_identity_and_score_are_readable(size, subsets, tmp_path):
    names = identities(count=8, images=4)
    names = [f"{subsets[n % len(subsets)]}/{int(name) + 1000}" for n, name in enumerate(names)]
    features = clusters(identities(count=8, images=4), 1.4)
    features[::3] *= -1  # so that some scores are negative
    identity = np.array(names)
    plant(tmp_path / "runs", 1, "ce", features, identity)
    async with opened(Places(tmp_path / "runs.db", tmp_path / "runs"), "retrieval", size) as (app, pilot):
        await shows(pilot, "trial 1 of 3")
        await pilot.pause(0.3)
        seen = text_of(app)
        for tile in list(app.screen.query(Tile))[1 : 8 if size[0] == 80 else 10]:
            assert any(f" {tile.border_title} {line}" in seen for line in "─━")
            assert str(tile.border_title)[-4] == "."
            assert any(f" {tile.border_subtitle} {line}" in seen for line in "─━")
            assert str(tile.border_subtitle)[-4:] in {name[-4:] for name in names}
        assert len(subsets) == 2 or "dorsal-right/" not in seen


def test_a_prefix_is_dropped_where_all_share_it():
    assert shared_prefix(["a/1", "a/2"]) == "a/"
    assert shared_prefix(["a/1", "b/2"]) == shared_prefix(["1", "a/2"]) == shared_prefix([]) == ""


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_the_true_match_is_beside_the_best_whatever_its_rank_and_the_gallery_has_pages(size, tmp_path):
    identity = identities(count=16, images=3)
    plant(tmp_path / "runs", 1, "ce", clusters(identity, 6.0), identity)
    async with opened(Places(tmp_path / "runs.db", tmp_path / "runs"), "retrieval", size) as (app, pilot):
        await shows(pilot, "trial 1 of 3")
        screen: Any = app.screen
        found = screen._answer
        shown = 6 if size[0] == 80 else 10
        assert found.rank > shown and len(found.gallery) == shown
        true = app.screen.query_one("#match", Tile)
        assert true.border_title == f"✓ {found.rank} {found.match.score:.3f}"
        assert found.match.identity == found.query.identity and true.size.height > 0
        words = f"first match at rank {found.rank}, AP {100 * found.ap:.1f}"
        assert words in " ".join(text_of(app).split())
        await pilot.press("right_square_bracket")
        await shows(pilot, f" {shown + 1} ")
        assert screen._answer.gallery[0].score <= found.gallery[-1].score
        assert screen._answer.query == found.query
        await pilot.press("n")
        await until(pilot, lambda: screen._answer.before == 0)


def test_the_subset_of_an_identity_is_shortened_and_never_cut_off():
    assert short_identity("dorsal-right/1000", 30) == "id dorsal-right/1000"
    assert short_identity("dorsal-right/1000", 17) == "dorsal-right/1000"
    assert short_identity("dorsal-right/1000", 14) == "dor-rig/1000"
    assert short_identity("palmar-left/5000000", 14) == "pa-le/5000000"
    assert short_identity("palmar-left/5000000", 11) == "p-l/5000000"
    assert short_identity("1000", 14) == "id 1000"


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_a_pair_opens_at_full_size_and_zooms_together(size, tmp_path):
    identity = identities(count=16, images=3)
    plant(tmp_path / "runs", 1, "ce", clusters(identity, 6.0), identity, images=tmp_path / "images")
    async with opened(Places(tmp_path / "runs.db", tmp_path / "runs"), "retrieval", size) as (app, pilot):
        await shows(pilot, "trial 1 of 3")
        page: Any = app.screen
        found = page._answer
        await pilot.press("right", "enter")
        await shows(pilot, "✗ rank 2 of 16", f"first match at rank {found.rank}")
        assert isinstance(app.screen, PairView)
        await pilot.pause()
        before = text_of(app)
        await pilot.press("plus", "plus", "l")
        await shows(pilot, "zoom 4×")
        left, right = app.screen.query(Drawing)
        assert left._pixels is not None and right._pixels is not None
        assert left._pixels.shape == right._pixels.shape == (12, 16, 3)  # a quarter of 48 x 64
        await pilot.press("0")
        await until(pilot, lambda: text_of(app) == before)
        await pilot.press("m")
        await shows(pilot, f"✓ rank {found.rank} of 16")
        await pilot.press("y")
        assert app.clipboard == str(found.match.path)
        await pilot.press("Y")
        assert app.clipboard == found.match.identity
        await pilot.press("escape")
        shown = 6 if size[0] == 80 else 10
        await until(pilot, lambda: page._answer.before == (found.rank - 1) // shown * shown)
        await pilot.pause()
        chosen = page.query_one("#gallery .chosen", Tile)
        assert str(chosen.border_title).startswith(f"✓ {found.rank} ")


async def test_pictures_of_a_project_that_was_moved_are_found(tmp_path):
    old, identity = tmp_path / "old", identities(count=8, images=2)
    plant(old / "runs", 1, "ce", clusters(identity, 1.0), identity, images=old / "data" / "hands")
    old.rename(tmp_path / "new")
    runs = tmp_path / "new" / "runs"
    async with opened(Places(tmp_path / "runs.db", runs), "retrieval") as (app, pilot):
        await shows(pilot, "trial 1 of 3")
        screen: Any = app.screen
        assert screen._answer.query.path.is_relative_to(tmp_path / "new" / "data" / "hands")
        assert screen._answer.query.pixels is not None


def test_what_is_in_sight_stays_inside_the_picture():
    pixels = np.zeros((48, 64, 3), np.uint8)
    part = Part().zoomed(0.5).moved(5, -5)
    assert part == Part(0.75, 0.25, 0.5)
    assert part.of(pixels).shape == (24, 32, 3)
    assert part.zoomed(100) == Part()
    for _ in range(20):
        part = part.zoomed(0.5)
    assert part.of(pixels).size


def test_sixteen_colours_show_a_picture_in_grays():
    """Skin on a white ground: mapped to the nearest of 16 colours, both were the same white or brown."""
    pixels = np.full((8, 16, 3), 250, np.uint8)
    pixels[:, 8:] = (205, 170, 150)
    (strip, *_) = strips(pixels, 8, 2, Style(), "standard")
    colors = [segment.style.bgcolor for segment in strip if segment.style and segment.style.bgcolor]
    assert {color.triplet[0] for color in colors if color.triplet} == {GRAYS[0], GRAYS[-1]}
    assert len({color.downgrade(ColorSystem.STANDARD).number for color in colors}) == 2


def test_the_linux_console_gets_halves_of_a_cell_only():
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    chars = {segment.text for strip in strips(pixels, 20, 10, Style(), "standard", quarters=False) for segment in strip}
    assert len(chars) > 2 and chars <= set(" ▀▄█")


@pytest.mark.parametrize(("term", "colors"), [("vt100", "None"), ("linux", "standard"), ("xterm-256color", "256")])
def test_a_terminal_without_colours_is_told_from_one_with_sixteen(term, colors):
    """In a process of its own: curses asks for one terminal only."""
    script = (
        "from unittest.mock import Mock; from rich.console import Console; from handreid_tui.ui import terminal_colors"
    )
    script += "; app = Mock(is_headless=False, console=Console(force_terminal=True))"
    script += "; print(terminal_colors.terminal_colors(app))"
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLORTERM")}
    command = [sys.executable, "-c", script]
    told = subprocess.run(command, env=kept | {"TERM": term}, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == colors


async def test_without_colours_a_word_stands_in_the_place_of_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr("handreid_tui.ui.screens.retrieval.tile.terminal_colors", lambda app: None)
    identity = identities(count=8, images=2)
    plant(tmp_path / "runs", 1, "ce", clusters(identity, 1.0), identity, images=tmp_path / "images")
    async with opened(Places(tmp_path / "runs.db", tmp_path / "runs"), "retrieval", (80, 24)) as (_, pilot):
        await shows(pilot, "trial 1 of 3", "needs colours")
        await pilot.press("enter")
        await shows(pilot, "pictures need a terminal with")


@pytest.mark.long
@pytest.mark.parametrize(
    ("answers", "drawn"),
    [
        ({b"\x1b[c": b"\x1b[?62;4c"}, b"\x1bP0;0;0q"),
        ({b"\x1b[c": b"\x1b[?62c", b"a=q": b"\x1b_Gi=1;OK\x1b\\"}, b"a=p,i="),
    ],
    ids=["sixel", "kitty"],
)
def test_a_terminal_with_real_pixels_gets_them(answers, drawn, tmp_path):
    pytest.importorskip("textual_image")
    identity = identities(count=8, images=2)
    plant(tmp_path / "runs", 1, "ce", clusters(identity, 1.0), identity, images=tmp_path / "images")
    before = Remembered(tmp_path / "config" / "handreid" / "ui.json", tmp_path / "runs")
    before.put("app", "page", "retrieval")
    before.write()
    kept = {name: value for name, value in os.environ.items() if name not in ("TMUX", "STY", "NO_COLOR", "COLUMNS")}
    own = {"TERM": "xterm-256color", "XDG_CONFIG_HOME": str(tmp_path / "config"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "handreid_tui"]
    environment = kept | own | {"PYTHONPATH": str(Path(__file__).parents[2])}
    terminal = PtyTerminal(command, environment, tmp_path, answers)
    try:
        terminal.until(lambda seen: b"first match at rank" in seen)
        assert drawn not in terminal.drawn
        terminal.press(b"\r")
        terminal.until(lambda seen: drawn in seen)
    finally:
        terminal.close()
