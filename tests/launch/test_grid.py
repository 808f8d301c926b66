"""Grids: what a user writes as several values, and the runs that come of it, from the front door."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.contract.combos import Combo
from engine.contract.errors import UserError
from handreid_tui.launch.grid import combinations, is_range, read_combos, read_setting, read_values, split_values
from handreid_tui.launch.plan import plan

SMALL = {"data.trials": 2, "train.ids_per_batch": 5, "train.images_per_id": 3}
WORDS = ["--model", "handreid-tiny", "--device", "cpu", "--ids-per-batch", "5", "--detach", "--data"]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.1,0.3", ["0.1", "0.3"]),
        ("[30,50]", ["[30,50]"]),
        ("[30,50],[20]", ["[30,50]", "[20]"]),
        ('{"a":[1,2]},3', ['{"a":[1,2]}', "3"]),
        ("soft", ["soft"]),
        ("", [""]),
    ],
)
def test_a_comma_splits_outside_brackets_only(text: str, values: list[str]) -> None:
    assert split_values(text) == values


@pytest.mark.parametrize("text", ["0.1,", ",0.1", "0.1,,0.3", "[30,50", "30],50"])
def test_an_empty_value_or_an_open_bracket_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        split_values(text)


def test_values_are_json_where_they_are_and_kept_once() -> None:
    assert read_setting("loss.triplet.margin=0.1,0.3,soft,0.1") == ("loss.triplet.margin", [0.1, 0.3, "soft"])
    assert read_values("train.milestones", "[30,50],[20]") == [[30, 50], [20]]
    assert read_values("evaluation.flip", "true,false") == [True, False]
    assert read_values("train.compile", "true, 1") == [True]  # both are on


@pytest.mark.parametrize("key", ["data.source", "model.name", "model.pretrained"])
def test_paths_and_names_of_models_are_never_split(key: str) -> None:
    assert read_values(key, "/my hands, and yours") == ["/my hands, and yours"]
    assert read_values(key, "1..2") == ["1..2"]


@pytest.mark.parametrize("text", ["1e-6..3e-5", "1e-6..3e-5:log", "8..32:4", "0..0.2", "-1..1", "1...5"])
def test_a_range_is_refused_with_the_command_that_takes_it(text: str) -> None:
    assert is_range(text)
    with pytest.raises(UserError, match=r"handreid tune --over train\.lr="):
        read_values("train.lr", text)


@pytest.mark.parametrize("text", ["0.1", "../x", "a..b", "1,2", "1.5"])
def test_what_is_no_range(text: str) -> None:
    assert not is_range(text)


@pytest.mark.parametrize(
    ("texts", "combos"),
    [
        (["ce", "ce_triplet", "ce"], ["ce", "ce_triplet"]),
        (["ce,ce_triplet"], ["ce", "ce_triplet"]),
        (["ce+triplet:0.1,0.5,1"], ["ce+triplet:0.1", "ce+triplet:0.5", "ce+triplet:1"]),
        (["ce:1,2+center:1e-4,1e-3"], [f"ce:{a}+center:{b}" for a in (1, 2) for b in ("1e-4", "1e-3")]),
        (["ce+triplet:0.5,1,ce_arcface"], ["ce+triplet:0.5", "ce+triplet:1", "ce_arcface"]),
        (["ce, and more"], ["ce, and more"]),
    ],
)
def test_combinations_and_weights_take_lists(texts: list[str], combos: list[str]) -> None:
    assert read_combos(texts, {"ce, and more": Combo("", "", {})}) == combos


@pytest.mark.parametrize("text", ["ce+triplet:0.1,,1", "ce,", "ce+triplet:0.1..1"])
def test_a_wrong_list_of_combinations_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        read_combos([text])


def test_the_last_axis_varies_fastest() -> None:
    assert combinations({"a": [1, 2], "b": [3, 4]}) == [{"a": a, "b": b} for a in (1, 2) for b in (3, 4)]
    assert combinations({}) == [{}]


def test_settings_of_absent_terms_make_no_run_twice(hands: Path) -> None:
    settings = SMALL | {"data.source": str(hands), "model.name": "handreid-tiny"}
    grid = {"loss.triplet.margin": [0.1, 0.3], "train.lr": [1e-3, 1e-4]}
    planned = plan(["zero_shot", "ce", "ce_triplet"], [0, 1], settings, Path("runs"), grid=grid)
    made = [(c.combo, c.loss.get("triplet", {}).get("margin"), c.train.lr, c.seed) for c in planned.configs]
    untrained = [("zero_shot", None, 1e-3, seed) for seed in (0, 1)]
    plain = [("ce", None, lr, seed) for lr in (1e-3, 1e-4) for seed in (0, 1)]
    varied = [("ce_triplet", margin, lr, seed) for margin in (0.1, 0.3) for lr in (1e-3, 1e-4) for seed in (0, 1)]
    assert made == untrained + plain + varied
    assert planned.equal == 2 * (3 + 2)
    assert planned.count == "14 runs (loss.triplet.margin 0.1, 0.3; train.lr 0.001, 0.0001; 10 equal left out)"


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ({"data.subset": ["dorsal-right", "palmar-left"]}, "no subset 'palmar-left'"),
        ({"train.ids_per_batch": [5, 64]}, "use 10 or less"),
        ({"loss.ce.smoothing": [0.1, 1.5]}, "must be below 1"),
        ({"train.epochs": [1, "x"]}, "train.epochs"),
    ],
)
def test_every_point_of_the_grid_is_checked(grid: dict[str, list[object]], said: str, hands: Path) -> None:
    settings = SMALL | {"data.source": str(hands), "model.name": "handreid-tiny"}
    with pytest.raises(UserError, match=said):
        plan(["ce"], [0], {k: v for k, v in settings.items() if k not in grid}, Path("runs"), grid=grid)


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "handreid_tui", "run", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def fake_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "trainer.py"
    script.write_text("")
    monkeypatch.setenv("HANDREID_TRAINER", str(script))


@pytest.mark.usefixtures("fake_trainer")
def test_two_combinations_two_margins_three_seeds_are_nine_runs(tmp_path: Path, hands: Path) -> None:
    words = ["--combo", "ce", "--combo", "ce_triplet", "--set", "loss.triplet.margin=0.1,0.3", "--seed", "0-2"]
    done = run(tmp_path, *words, *WORDS, str(hands))
    assert done.returncode == 0, done.stderr
    assert "9 runs (loss.triplet.margin 0.1, 0.3; 3 equal left out)" in done.stderr
    assert len(list((tmp_path / "runs").glob("0*-*"))) == 9


@pytest.mark.usefixtures("fake_trainer")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--combo", "ce_triplet", "--set", "loss.triplet.margin=0.1,wide"], "triplet.margin is 'wide'"),
        (["--combo", "ce", "--lr", "1e-3,0"], "train.lr"),
        (["--combo", "ce", "--lr", "1e-6..3e-5:log"], "handreid tune --over train.lr=1e-6..3e-5:log"),
        (["--combo", "ce+triplet:0.1,high"], "high"),
        (["--combo", "ce", "--lr", "1e-3,2e-3", "--seed", "0-50"], "Train 102 runs"),
    ],
)
def test_a_wrong_point_is_one_sentence_and_nothing_is_made(
    words: list[str], said: str, tmp_path: Path, hands: Path
) -> None:
    done = run(tmp_path, *words, *WORDS, str(hands))
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("fake_trainer")
def test_more_than_a_hundred_runs_are_made_with_yes(tmp_path: Path, hands: Path) -> None:
    done = run(tmp_path, "--combo", "ce", "--lr", "1e-3,2e-3", "--seed", "0-50", "--yes", *WORDS, str(hands))
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "runs").glob("0*-*"))) == 102
    subprocess.run([sys.executable, "-m", "handreid_tui", "stop", "1-102"], cwd=tmp_path, capture_output=True)
