"""The table of many rows."""

from __future__ import annotations

from textual.app import App, ComposeResult

from handreid_tui.ui.table import Column, RowTable
from tests.support.tui_tools import text_of, until

COLUMNS = (Column("number", "number", 8, True), Column("word", "word", 10, rest=True), Column("end", "end", 5, True))


class TableApp(App[None]):
    def compose(self) -> ComposeResult:
        yield RowTable[int](COLUMNS, lambda n: (str(n), f"row {n}", f"{n}!"))


async def test_cells_stand_below_their_titles_when_the_scrollbar_comes_and_goes():
    async with TableApp().run_test(size=(60, 20)) as pilot:
        table = pilot.app.query_one(RowTable)
        for count in (10, 50, 10):
            table.show(list(range(count)), frozenset())
            await pilot.pause(0.1)
            header, *rows = (line for line in text_of(pilot.app).splitlines() if "number" in line or "row" in line)
            assert len(rows) == min(count, 17)
            assert {row.index("!") for row in rows} == {header.index("end") + 2}


async def test_how_many_rows_are_out_of_sight_is_said():
    async with TableApp().run_test(size=(60, 10)) as pilot:
        table = pilot.app.query_one(RowTable)
        table.show(list(range(7)))
        await until(pilot, lambda: "row 6" in text_of(pilot.app))
        assert "more" not in text_of(pilot.app)
        table.show(list(range(12)))
        table.set_word("12")
        await until(pilot, lambda: " 12 · 5 more below " in text_of(pilot.app))
        table.move_to(7)
        await until(pilot, lambda: " 12 · 1 more above, 4 more below " in text_of(pilot.app))
        table.move_to(11)
        await until(pilot, lambda: " 12 · 5 more above " in text_of(pilot.app))
        assert "below" not in text_of(pilot.app)
        await pilot.resize_terminal(60, 30)
        await until(pilot, lambda: "more" not in text_of(pilot.app))
