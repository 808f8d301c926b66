"""The page Compare: baselines among variants, claims and published results in sight, a legend for every line."""

from __future__ import annotations

from typing import Any

import pytest

from handreid_tui.settings import Places
from handreid_tui.ui.chart.widget import Chart
from tests.support.tui_tools import opened, shows, text_of, until, write_history
from tests.ui.test_labels import MARGINS, margins

__all__ = ["margins"]


async def test_any_variant_of_a_combination_becomes_the_baseline(margins: Places) -> None:
    async with opened(margins, "compare") as (app, pilot):
        await shows(pilot, *(f"ce_triplet m={margin}" for margin in MARGINS))
        seen: list[str] = [""]
        for _ in range(len(MARGINS)):
            await pilot.press("B")
            seen.append(await until(pilot, lambda: _baseline(app) not in ("", "none", seen[-1]) and _baseline(app)))
            await shows(pilot, f"Differences to {seen[-1]}")
        assert set(seen[1:]) == {f"ce_triplet m={margin}" for margin in MARGINS}


def _baseline(app: Any) -> str:
    """The baseline that is named below the tables, "" while it is computed."""
    return str(app.screen.query_one("Tables").border_subtitle).partition("baseline ")[2]


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_claims_come_into_sight_and_each_line_is_in_the_legend(size: tuple[int, int], tmp_path: Any) -> None:
    async with opened(write_history(tmp_path), "compare", size) as (app, pilot):
        await shows(pilot, "protocol 1 of 1")
        await until(pilot, lambda: len(app.screen.query_one(Chart).lines) == 3)
        chart = app.screen.query_one(Chart).region
        legend = "\n".join(text_of(app).splitlines()[chart.y : chart.bottom])
        for line in app.screen.query_one(Chart).lines:
            assert f"{line.marker} {line.name}  " in legend
        for key, end in (("c", "Held: the difference to the same"), ("u", "No published result has this protocol")):
            await pilot.press(key)
            await until(pilot, lambda end=end: end in _tables(app))
            await pilot.press(key)
            await until(pilot, lambda end=end: end not in _tables(app))


def _tables(app: Any) -> str:
    """What of the tables is in sight, as one line."""
    region = app.screen.query_one("Tables").region
    lines = text_of(app).splitlines()[region.y : region.bottom]
    return " ".join(" ".join(lines).replace("│", " ").split())
