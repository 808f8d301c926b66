"""How a comparison stands in a terminal: whole, in its width, thousands of rows too."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from handreid_tui.compare import compare, render
from handreid_tui.compare.finished_run import FinishedRun
from handreid_tui.compare.sheets import MOST_COLUMNS, configuration_sheet
from handreid_tui.text.tables import Columns, TextColumn, line
from tests.support.planted_runs import clusters, identities, plant

IDENTITY = identities(10)


def drawn(shown: object, width: int) -> list[str]:
    console = Console(width=width, record=True, file=io.StringIO(), color_system=None)
    console.print(shown)
    return console.export_text().splitlines()


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> list[FinishedRun]:
    folder: Path = tmp_path_factory.mktemp("runs")
    combos = ("ce", "ce_triplet", "ce_triplet_center", "ce_arcface")
    return [
        plant(folder, n, combo, clusters(IDENTITY, 0.9 - n / 20, n), IDENTITY, n % 2)
        for n, combo in enumerate(2 * combos)
    ]


@pytest.mark.parametrize("by", ["combo", "run"])
@pytest.mark.parametrize("width", [60, 80, 100, 120, 300])
def test_no_line_is_longer_than_the_terminal_and_no_word_is_lost_or_broken(planted, by, width):
    comparison = compare(planted, by=by, claims=True)
    wide, narrow = drawn(render(comparison), 1000), drawn(render(comparison), width)
    assert max(map(len, narrow)) <= width

    def words(lines: list[str]) -> set[str]:
        return set("\n".join(lines).replace("± ", "±").split())

    assert words(narrow) == words(wide)


def test_columns_without_room_stand_below_behind_the_names_again(planted):
    lines = drawn(render(compare(planted)), 60)
    headers = [text.split()[1:] for text in lines if text.startswith("combination")]
    assert headers[0] == ["%"] * 6
    assert headers[1] == ["%", "%", "compactness", "separation", "seeds"]
    assert sum(text.startswith("ce_triplet_center ") for text in lines) > len(headers[1:])
    assert any(text.endswith(" min") for text in lines), "a unit stands behind its number"
    assert all(words.count("Δ") == words.count("verdict") for words in headers), (
        "a verdict stands beside its difference"
    )


def test_a_name_cannot_move_the_cursor_or_start_a_line(planted):
    evil = replace(planted[0], name="one\x1b[2J\ntwo")
    lines = drawn(render(compare([evil, planted[1]], by="run")), 300)
    assert any(text.startswith("0 one [2J two ce s0") for text in lines)
    assert "\x1b" not in "".join(lines)


def test_columns_that_may_give_way_do_so_first_and_numbers_last():
    table = Columns(
        [
            TextColumn([line("number")], [[line("1234567")]], number=True),
            TextColumn([line("name")], [[line("a name of a run")]]),
            TextColumn([line("tags")], [[line("many words here")]], least=4),
        ]
    )
    assert drawn(table, 80) == [
        " number  name             tags",
        "1234567  a name of a run  many words here",
    ]
    assert drawn(table, 31)[1] == "1234567  a name of a run  many…"
    assert drawn(table, 24)[1] == "1234567  a name of a run"
    assert drawn(table, 20)[1] == "1234567  a name of …"


def test_wide_characters_keep_the_columns_straight():
    table = Columns(
        [TextColumn([line("data")], [[line("手")], [line("hand")]]), TextColumn([line("x")], [[line("1")]] * 2)]
    )
    assert drawn(table, 80) == ["data  x", "手    1", "hand  1"]


def test_rows_of_equal_settings_share_a_column(planted):
    sheet = configuration_sheet(compare(planted, by="run").sections[0].table)
    assert sheet.headers == [
        "setting",
        *(
            f"{n} {c} s{n % 2}, {n + 4} {c} s{n % 2}"
            for n, c in enumerate(("ce", "ce_triplet", "ce_triplet_center", "ce_arcface"))
        ),
    ]
    weight = next(row for row in sheet.rows if str(row[0]) == "loss.triplet.weight")
    assert [str(cell) for cell in weight[1:]] == ["–", "1", "1", "–"]


def test_more_configurations_than_columns_stand_in_lines(tmp_path):
    count = MOST_COLUMNS + 1
    runs = [
        plant(tmp_path, n, "ce", clusters(IDENTITY, 0.8, n), IDENTITY, **{"train.lr": n / 1000})
        for n in range(1, count + 1)
    ]
    sheet = configuration_sheet(compare(runs, by="run").sections[0].table)
    assert sheet.headers == ["run", "train.lr"]
    assert [str(row[1]) for row in sheet.rows] == [f"{n / 1000:g}" for n in range(1, count + 1)]
