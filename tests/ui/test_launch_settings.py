"""The settings of Launch: several values in a field, paths, the seeds that a comparison lacks."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.contract.combos import COMBOS
from engine.data.layouts import files
from handreid_tui.settings import Places, UserFile
from handreid_tui.ui.screens.compare.missing_seeds import missing_seeds
from handreid_tui.ui.screens.launch import request
from handreid_tui.ui.screens.launch.check_form import FormInput, check_form, doubts
from handreid_tui.ui.screens.launch.combo_table import ComboTable
from handreid_tui.ui.screens.launch.complete_paths import complete
from handreid_tui.ui.screens.launch.form import ENTRIES, Form
from handreid_tui.ui.screens.launch.so_far import Result
from tests.support.planted_runs import clusters, identities, plant
from tests.support.tui_tools import opened, shows, until

NOTHING = dict.fromkeys((entry.id for entry in ENTRIES), "")


def typed(combos: tuple[str, ...] = ("ce", "ce_triplet"), **texts: str) -> FormInput:
    return FormInput(NOTHING | texts, combos, combos, {}, UserFile())


def test_commas_in_a_field_make_a_grid_as_on_the_command_line():
    found = check_form(typed(lr="1e-4,3e-4", more="loss.triplet.margin=0.1,0.3,soft train.ema=0.99", seeds="0,1"))
    assert not found.problem and not any(found.reasons.values())
    assert found.order and found.order.grid.keys() == {"train.lr", "loss.triplet.margin"}
    assert len(found.configs) == (2 + 6) * 2  # the margins change nothing about ce
    assert found.count == ("16 runs (train.lr 0.0001, 0.0003; loss.triplet.margin 0.1, 0.3, soft; 8 equal left out)")
    assert {config.train.ema for config in found.configs} == {0.99}


@pytest.mark.parametrize(
    ("texts", "wrong", "said"),
    [
        ({"lr": "1e-4,-1"}, "lr", "greater than 0"),
        ({"lr": "1e-4,,1e-3"}, "lr", "empty value"),
        ({"batch": "16x4,8x2"}, "batch", "every pair of the two numbers"),
        ({"batch": "16x4,8"}, "batch", "got '8'"),
        ({"more": "train.ema"}, "more", "More takes key=value"),
        ({"more": "train.lr=1e-6..1e-4"}, "more", "range"),
        ({"epochs": "5,five"}, "epochs", "five"),
    ],
)
def test_each_value_of_a_field_is_judged(texts, wrong, said):
    found = check_form(typed(**texts))
    assert found.order is None
    assert said in found.reasons[wrong]
    assert [name for name, reason in found.reasons.items() if reason] == [wrong]


def test_a_batch_may_vary_in_one_of_its_numbers():
    found = check_form(typed(("ce_triplet",), batch="16x4, 8x4", pattern=r"(?P<identity>\d{1,3})_"))
    batches = {(config.train.ids_per_batch, config.train.images_per_id) for config in found.configs}
    assert batches == {(16, 4), (8, 4)}
    assert found.configs[0].data.identity_pattern == r"(?P<identity>\d{1,3})_"


def test_doubts_look_at_every_point_of_a_grid():
    found = check_form(typed(("ce",), lr="1e-4,3", epochs="2,5000", seeds="0,1"))
    runs = {(3, 1): 12, (0, 7): 13}  # 12: the last point with seed 1; 13 has another seed
    questions = doubts(found, {"ce": Result(None, None, None, 0, "", runs)})
    assert questions == [
        "The learning rate is 3.",
        "There are 5000 epochs.",
        "1 of 8 already exist with these settings and seeds: run 12.",
    ]


async def test_a_grid_is_announced_on_the_page(tmp_path, hands):
    async with opened(Places(tmp_path / "runs.db", tmp_path / "runs")) as (app, pilot):
        await pilot.press("j", "j", "space", "f", *str(hands))
        app.screen.query_one(Form).fields["more"].input.focus()
        await pilot.press(*"loss.triplet.margin=0.1,0.3")
        await shows(pilot, "2 runs (loss.triplet.margin 0.1, 0.3)", "Launch 2 runs")


def test_paths_are_completed_a_folder_at_a_time(tmp_path):
    for name in ("hands-11k/Hands", "hands-hd", ".cache"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "hands.pt").touch()
    (tmp_path / "hands.txt").touch()
    assert complete(f"{tmp_path}/ha") == f"{tmp_path}/hands-11k"
    assert complete(f"{tmp_path}/hands-11k/") == f"{tmp_path}/hands-11k/Hands"
    assert complete(f"{tmp_path}/hands.", (".pt",)) == f"{tmp_path}/hands.pt"
    assert complete(f"{tmp_path}/hands.") is None
    assert complete(f"{tmp_path}/nowhere/x") is None
    assert complete("~nobody/x") is None


async def test_a_path_is_completed_while_it_is_typed(tmp_path):
    (tmp_path / "my-hands").mkdir()
    async with opened(Places(tmp_path / "runs.db", tmp_path / "runs")) as (app, pilot):
        data = app.screen.query_one(Form).fields["data"].input
        data.focus()
        await pilot.press(*f"{tmp_path}/my")
        await until(pilot, lambda: data._suggestion == f"{tmp_path}/my-hands")
        await pilot.press("right")
        assert data.value == f"{tmp_path}/my-hands"


async def test_drawing_the_synthetic_hands_holds_up_no_other_check(tmp_path, monkeypatch):
    monkeypatch.setenv("HANDREID_CACHE", str(tmp_path / "empty"))
    drawn = threading.Event()
    monkeypatch.setattr(request, "draw_hands", drawn.wait)
    monkeypatch.setattr("handreid_tui.ui.screens.launch.screen.draw_hands", drawn.wait)
    try:
        async with opened(Places(tmp_path / "runs.db", tmp_path / "runs")) as (app, pilot):
            await pilot.press("j", "space")
            await shows(pilot, "Generating the synthetic hands")
            app.screen.query_one(Form).fields["data"].input.focus()
            await pilot.press(*"/nowhere")
            await shows(pilot, "! Data: There is no folder /nowhere")
            drawn.set()
    finally:
        drawn.set()


async def test_a_longer_path_ends_the_check_of_the_folder_that_it_begins_with(tmp_path, hands, monkeypatch):
    data = tmp_path / "large" / "hands"
    shutil.copytree(hands, data)
    entered, left, closing = threading.Event(), threading.Event(), threading.Event()

    @contextmanager
    def scandir(folder):
        with os.scandir(folder) as entries:
            yield endless(list(entries)) if Path(folder) == data.parent else entries

    def endless(entries):
        try:
            while not closing.wait(0.001):
                entered.set()
                yield from entries
        finally:
            left.set()

    monkeypatch.setattr(files, "os", SimpleNamespace(scandir=scandir, path=os.path))
    try:
        async with opened(Places(tmp_path / "runs.db", tmp_path / "runs")) as (app, pilot):
            await pilot.press("j", "space")
            field = app.screen.query_one(Form).fields["data"].input
            field.focus()
            field.value = str(data.parent)
            await until(pilot, entered.is_set)
            assert not left.is_set()
            await pilot.press("/")
            await until(pilot, left.is_set)  # by the key, whatever the new text is
            field.value = str(data)
            await shows(pilot, "Launch 1 run", "11k Hands, 96 rows")
    finally:
        closing.set()


def test_the_seeds_that_a_comparison_lacks():
    def run(number: int, combo: str, seed: int) -> Any:
        kind = type("Run", (), {"number": number, "combo": combo, "setup": "", "seed": seed, "trained": bool(combo)})
        return kind()

    two = [run(1, "ce", 0), run(2, "ce", 1), run(3, "ce_triplet", 0), run(4, "ce_triplet", 1), run(5, "", 0)]
    found = missing_seeds(two)
    assert found and (found.numbers, found.seeds, found.left) == ((1, 3), (2,), 0)
    uneven = missing_seeds([*two, run(6, "ce", 4), run(7, "ce_arcface", 0), run(8, "ce_arcface", 4)])
    assert uneven and uneven.left == 1 and uneven.seeds in ((1,), (4,))
    assert missing_seeds([*two, run(6, "ce", 4), run(7, "ce_triplet", 4)]) is None
    assert missing_seeds([]) is None


async def test_compare_opens_the_launch_of_the_missing_seeds(tmp_path):
    identity = identities(count=8, images=3)
    for number, (combo, seed) in enumerate([(c, s) for s in (0, 1) for c in ("ce", "ce_triplet")], 1):
        plant(tmp_path / "runs", number, combo, clusters(identity, 1.0, number), identity, seed)
    async with opened(Places(tmp_path / "runs.db", tmp_path / "runs"), "compare") as (app, pilot):
        await shows(pilot, "protocol 1 of 1")
        await pilot.press("T")
        await until(pilot, lambda: app.current_mode == "launch" and app.screen.query(Form))
        form, table = app.screen.query_one(Form), app.screen.query_one(ComboTable)
        await until(pilot, lambda: form.texts["seeds"] == "2")
        assert list(table.chosen) == ["ce", "ce_triplet"] and not table.edited
        assert form.texts["model"] == "handreid-tiny" and "data.trials=3" in form.texts["more"]
        assert COMBOS.keys() >= table.chosen.keys()
