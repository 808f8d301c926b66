"""The page Retrieval: every tile says which identity was found, and how alike it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from handreid_tui.settings import Places
from handreid_tui.ui.screens.retrieval.queries import shared_prefix
from handreid_tui.ui.screens.retrieval.tile import Tile
from tests.support.planted_runs import clusters, identities, plant
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
            assert f" {tile.border_title} ─" in seen
            assert str(tile.border_title)[-4] == "."
            assert f" {tile.border_subtitle} ─" in seen
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
