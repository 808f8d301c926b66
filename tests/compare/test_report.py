"""The report is one file that needs nothing else, and says what the comparison says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from sqlalchemy import Engine

from engine.contract.errors import UserError
from handreid_tui.compare import compare, compare_history
from handreid_tui.compare.plots import PLOTS, save_plot
from handreid_tui.compare.report import OF_SWEEPS, command, write_report
from handreid_tui.history import ingest, open_history
from tests.support.planted_runs import clusters, identities, plant

IDENTITY = identities(10)
COMBOS = {"ce": 0.9, "ce_triplet": 0.6, "ce_triplet_center": 0.5, "ce_arcface": 0.8}


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("report")
    runs = folder / "runs"
    runs.mkdir()
    for number, (combo, spread) in enumerate(COMBOS.items(), 1):
        features = clusters(IDENTITY, spread, seed=number)
        plant(runs, number, combo, features, IDENTITY, images=folder / "images")
        (runs / f"{number:04}-{combo}" / "environment.json").write_text(json.dumps({"python": "3.11", "device": combo}))
    history = open_history(folder / "runs.db")
    ingest(history, runs)
    return history


@pytest.fixture(scope="module")
def page(history: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(history, path)
    return path


class Addresses(HTMLParser):
    """Everything that a browser would fetch, and every element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.elements: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action", "data")]


def test_the_page_asks_for_nothing_and_runs_nothing(page):
    text = page.read_text()
    addresses = Addresses(text)
    assert addresses.found
    assert all(address.startswith(("data:", "#")) for address in addresses.found)
    assert not {"script", "iframe", "object", "embed"} & set(addresses.elements)
    assert not re.search(r"url\((?!\s*['\"]?#)|@import", text)


def test_the_page_holds_tables_figures_pictures_configuration_and_how_to_repeat_it(page):
    text = page.read_text()
    elements = Addresses(text).elements
    # of so few people there are no likelihood ratios, and it says so; nothing was tuned
    assert elements.count("svg") == len(PLOTS) - 2 - len(OF_SWEEPS)
    assert text.count("people with enough images, and a likelihood ratio requires at least 20") == 2
    assert elements.count("img") > 4 * 6
    for words in ("ce_triplet_center", "95 % interval", "Claims about the losses", "Environment", "✓", "✗"):
        assert words in text
    assert "handreid run --combo ce_triplet --seed 0" in text
    assert '"combo": "ce_arcface"' in unescape(text)


def test_every_figure_has_its_series_and_takes_the_pages_text_colour(page):
    figures = re.findall(r"<svg .*?</svg>", page.read_text(), re.DOTALL)
    for figure in figures:
        assert "currentColor" in figure and "#010203" not in figure
        assert "0001-ce" in figure or "ce_triplet" in figure
    assert ">Triplet<" in figures[0] and ">ArcFace<" in figures[0]


def test_a_name_from_a_run_directory_is_text_and_never_markup(tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    evil = "<script>alert(1)</script>"
    run = plant(runs, 1, "ce", clusters(IDENTITY, 0.8), IDENTITY, started={"dataset": evil}, images=tmp_path / "images")
    listed = run.directory / "evaluation" / "images.json"
    listed.write_text(listed.read_text().replace("hand_3.jpg", "<img src=//x>"))
    history = open_history(tmp_path / "runs.db")
    ingest(history, runs)
    write_report(history, tmp_path / "r.html")
    addresses = Addresses((tmp_path / "r.html").read_text())
    assert "script" not in addresses.elements
    assert all(address.startswith(("data:", "#")) for address in addresses.found)


def test_pictures_that_are_gone_or_outside_the_data_set_are_said_to_be_missing(tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    run = plant(runs, 1, "ce", clusters(IDENTITY, 0.8), IDENTITY, images=tmp_path / "data" / "images")
    shutil.move(tmp_path / "data" / "images", tmp_path / "outside")
    (tmp_path / "data" / "images").mkdir()
    listed = run.directory / "evaluation" / "images.json"
    listed.write_text(listed.read_text().replace('"path": "', '"path": "../../outside/'))
    history = open_history(tmp_path / "runs.db")
    ingest(history, runs)
    write_report(history, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "image not found" in text and "data:image/jpeg" not in text


def test_named_runs_are_reported_side_by_side(history, tmp_path):
    comparison = write_report(history, tmp_path / "two.html", names=["1", "2"])
    assert [row.label for row in comparison.sections[0].table.rows] == ["1 ce s0", "2 ce_triplet s0"]
    assert "Settings that differ" in (tmp_path / "two.html").read_text()


def test_an_unwritable_place_is_said_in_a_sentence(history, tmp_path):
    with pytest.raises(UserError, match=r"cannot be written.* with -o"):
        write_report(history, tmp_path / "nowhere" / "report.html")


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_single_figures_are_written_for_a_paper(history, tmp_path, ending, magic):
    rows = compare_history(history).sections[0].table.rows
    path = save_plot(history, rows, "cmc", tmp_path / f"cmc.{ending}")
    assert path.read_bytes().startswith(magic)


def test_an_unknown_plot_or_ending_is_said_in_a_sentence(history, tmp_path):
    rows = compare_history(history).sections[0].table.rows
    with pytest.raises(UserError, match="no plot 'pie'"):
        save_plot(history, rows, "pie", tmp_path / "pie.png")
    with pytest.raises(UserError, match="png, svg or pdf"):
        save_plot(history, rows, "cmc", tmp_path / "cmc.gif")
    with pytest.raises(UserError, match=r"cannot be written.* with -o"):
        save_plot(history, rows, "cmc", tmp_path / "nowhere" / "cmc.png")


def test_the_command_of_a_row_repeats_its_settings_and_nothing_else(tmp_path):
    settings = {"train.lr": 1e-4, "data.source": "my hands", "model.name": "handreid-tiny", "data.trials": 10}
    run = plant(tmp_path, 1, "ce+triplet:0.5", clusters(IDENTITY, 0.8), IDENTITY, seed=3, **settings)
    words = command(compare([run]).sections[0].table.rows[0])
    assert words == (
        "handreid run --combo ce+triplet:0.5 --seed 3 --data 'my hands' --model handreid-tiny --set train.lr=0.0001"
    )


def complaints(page: Path, folder: Path, *more: str) -> list[str]:
    """What Chromium's console says about a page; it draws the page into page.png."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-logging=stderr", *more]
    options += [f"--user-data-dir={folder / 'profile'}", f"--screenshot={folder / 'page.png'}"]
    done = subprocess.run(["chromium", *options, page.as_uri()], capture_output=True, text=True, timeout=120)
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_real_browser_opens_it_without_a_complaint_and_would_refuse_any_request(page, tmp_path):
    assert complaints(page, tmp_path) == []
    assert (tmp_path / "page.png").stat().st_size > 10_000
    asking = tmp_path / "asking.html"
    asking.write_text(page.read_text().replace("<h1>", "<img src='https://example.org/x.png'><script>1</script><h1>"))
    refused = complaints(asking, tmp_path)
    assert len(refused) == 2 and all("Content Security Policy" in line for line in refused)
