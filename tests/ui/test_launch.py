"""The page Launch: the combinations, what they reached, the settings and the queue."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from textual.geometry import Region
from textual.widgets._toast import Toast

from engine.contract.combos import COMBOS, Combo
from engine.contract.config import resolve
from engine.contract.errors import UserError
from handreid_tui.history import ingest, list_runs, open_history
from handreid_tui.launch.save_combo import save_combo
from handreid_tui.settings import Places, read_user_file
from handreid_tui.ui.actions import PAGES
from handreid_tui.ui.app import HandreidApp
from handreid_tui.ui.history_feed import Snapshot
from handreid_tui.ui.screens.launch.combo_table import ComboTable
from handreid_tui.ui.screens.launch.form import Form, of_field
from handreid_tui.ui.screens.launch.so_far import Result, Results, Wanted
from tests.support.planted_runs import TRIALS, clusters, identities, plant
from tests.support.run_files import Trainer, append, make_run, wait_in_queue
from tests.support.tui_tools import opened, shows, text_of, until, write_history


@pytest.fixture
def nothing(tmp_path: Path) -> Places:
    return Places(tmp_path / "runs.db", tmp_path / "runs")


async def test_edited_terms_are_there_again_after_a_restart(nothing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "handreid.toml").write_text("[combos.mine]\nce = 1.0\ntriplet = 0.5\n")
    state = tmp_path / "ui.json"
    async with HandreidApp(nothing, state).run_test(size=(100, 30)) as pilot:
        await shows(pilot, "mine")
        await pilot.press("j", "j", "space", "e", "tab", "tab", "tab", *["backspace"] * 3, *"0.7", "enter")
        await shows(pilot, "ce_triplet (edited)", "margin 0.7")
        await pilot.press(*"j" * (len(COMBOS) - 2), "space", "e", *["backspace"] * 3, "3", "enter")
        await shows(pilot, "mine (edited)", "weight 3")
    async with HandreidApp(nothing, state).run_test(size=(100, 30)) as pilot:
        await shows(pilot, "✓  ce_triplet (edited)", "✓  mine (edited)", "Launch 2 runs")
        combos = pilot.app.screen.query_one(ComboTable).own
        assert combos["ce_triplet"].options["triplet"]["margin"] == 0.7
        assert combos["mine"].weights == {"ce": 3.0, "triplet": 0.5}
        await pilot.press("j", "j", "d")
        await until(pilot, lambda: "ce_triplet (edited)" not in text_of(pilot.app))
    async with HandreidApp(nothing, state).run_test(size=(100, 30)) as pilot:
        await shows(pilot, "✓  mine (edited)", "Launch 2 runs")
        assert "ce_triplet (edited)" not in text_of(pilot.app)


async def test_a_combination_of_ones_own_can_be_edited_and_removed(nothing, tmp_path):
    state = tmp_path / "ui.json"
    async with HandreidApp(nothing, state).run_test(size=(100, 30), notifications=True) as pilot:
        await shows(pilot, "your own")
        await pilot.press("d")
        await shows(pilot, "Only combinations added")
        await pilot.press("plus", "enter")
        await shows(pilot, "✓  ce+triplet:0.5", "Launch 1 run")
        await pilot.press("e", "tab", "tab", *["backspace"] * 3, "2", "enter")
        await shows(pilot, "✓  ce+triplet:2", "weight 2")
        await pilot.press("question_mark")
        await shows(pilot, "Discard an edit, or remove")
        await pilot.press("escape", "d")
        await until(pilot, lambda: "ce+triplet:2 " not in text_of(pilot.app))
        await shows(pilot, "Select combinations with space.")
    async with HandreidApp(nothing, state).run_test(size=(100, 30)) as pilot:
        await shows(pilot, "your own")
        assert not pilot.app.screen.query_one(ComboTable).added


def plant_validated(runs: Path, number: int, combo: str, seed: int, validation: float, **settings: object) -> None:
    """A finished run with planted embeddings and one validation."""
    identity = identities(count=8, images=4)
    run = plant(runs, number, combo, clusters(identity, 1.0, number), identity, seed, **settings)
    rates = {"rank1": validation, "mAP": validation}
    append(run.directory, {"kind": "evaluation", "stage": "validation", "step": 40, "epoch": 4} | rates)
    report = {key: run.summary[key] for key in ("rank1", "mAP")}
    append(run.directory, {"kind": "evaluation", "stage": "final", "step": 40} | report)


def test_so_far_is_the_result_of_this_configuration_by_validation(tmp_path):
    runs = tmp_path / "runs"
    tiny = {"model.name": "handreid-tiny", "data.trials": TRIALS}
    for number, (combo, seed, epochs, validation) in enumerate(
        [("ce", 0, 2, 0.5), ("ce", 1, 2, 0.6), ("ce", 1, 2, 0.7), ("ce", 0, 9, 0.99), ("ce_triplet", 0, 9, 0.9)], 1
    ):
        plant_validated(runs, number, combo, seed, validation, **{"train.epochs": epochs})
    history = open_history(tmp_path / "runs.db")
    ingest(history, runs)
    snapshot = Snapshot({run.number: run for run in list_runs(history)}, history=history)

    def found(settings: dict[str, object], combos: dict[str, Combo] | None = None) -> dict[str, Result]:
        return Results().read(Wanted(snapshot, COMBOS | (combos or {}), tiny | settings))

    at_two = found({"train.epochs": 2})
    assert at_two.keys() == {"ce"}  # nine epochs are another configuration, however good
    assert at_two["ce"].val_mAP == pytest.approx((0.5 + 0.7) / 2)  # of each seed the last
    assert at_two["ce"].seeds == 2
    test = [run.metrics["mAP"] for run in snapshot.runs.values() if run.number in (1, 3)]
    assert at_two["ce"].mAP == pytest.approx(sum(test) / 2)
    assert found({"train.epochs": 9}).keys() == {"ce", "ce_triplet"}
    edited = replace(COMBOS["ce_triplet"], options={"triplet": {"margin": 0.7}})
    assert found({"train.epochs": 9}, {"ce_triplet": edited}).keys() == {"ce"}
    history.dispose()


async def test_an_edited_combination_has_not_run_yet(tmp_path):
    places = Places(tmp_path / "runs.db", tmp_path / "runs")
    plant_validated(places.runs, 1, "ce_triplet", 0, 0.625, **{"train.epochs": 2})
    async with opened(places) as (app, pilot):
        form = app.screen.query_one(Form)
        settings = {"model": "handreid-tiny", "epochs": "2", "more": f"data.trials={TRIALS}"}
        for name, text in settings.items():
            form.fields[name].input.value = text
        await pilot.press("j", "j")
        await shows(pilot, "62.5", "validation  mAP 62.5", "So far, with these settings")
        await pilot.press("e", "tab", "tab", "tab", *["backspace"] * 3, *"0.7", "enter")
        await shows(pilot, "ce_triplet (edited)", "Not run yet with these settings.")
        assert "62.5" not in text_of(app)


async def test_an_edited_expression_is_named_by_its_weights_and_can_be_saved(nothing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "handreid.toml").write_text("# mine\n[run]\ntrain.epochs = 3\n")
    async with opened(nothing) as (app, pilot):
        await pilot.press("plus", "ctrl+u", *"ce+supcon:0.5", "enter")
        await shows(pilot, "✓  ce+supcon:0.5")
        await pilot.press("e", "tab", "tab", *["backspace"] * 3, *"0.9", "enter")
        await shows(pilot, "✓  ce+supcon:0.9", "weight 0.9")
        assert "ce+supcon:0.5" not in text_of(app)
        await pilot.press("e", "tab", "tab", "tab", *["backspace"] * 3, *"0.2", "enter")
        await shows(pilot, "ce+supcon:0.9 (edited)", "temperature 0.2")
        await pilot.press("w", *"a b")
        await shows(pilot, "letters, digits")
        await pilot.press("ctrl+u", *"soft", "enter")
        await shows(pilot, "✓  soft", "weight 0.9")
        saved = read_user_file().combos["soft"]
        assert saved.weights == {"ce": 1.0, "supcon": 0.9}
        assert saved.options["supcon"] == {"temperature": 0.2}
        assert (tmp_path / "handreid.toml").read_text().startswith("# mine\n[run]\ntrain.epochs = 3\n")
        await pilot.press("e", "tab", "tab", *["backspace"] * 3, "2", "enter")
        await shows(pilot, "soft (edited)")
        await pilot.press("w", "enter")
        await until(pilot, lambda: read_user_file().combos["soft"].weights["supcon"] == 2.0)
        await until(pilot, lambda: "soft (edited)" not in text_of(app))


async def test_an_option_that_was_not_edited_follows_the_recipe_of_the_model(nothing, tmp_path, monkeypatch):
    """The defect: the dialog shows the scale of CLIP's encoders, 0, and an edit of another option sets it."""
    monkeypatch.chdir(tmp_path)
    async with opened(nothing) as (app, pilot):
        await shows(pilot, "your own")
        await pilot.press(*"j" * list(COMBOS).index("clip_reid"))
        await shows(pilot, "scale 30")
        await pilot.press("e", *["backspace"] * 3, "1", "enter")
        await shows(pilot, "clip_reid (edited)", "scale 30")
        table = app.screen.query_one(ComboTable)
        assert table.own["clip_reid"].weights["ce"] == 1 and not table.own["clip_reid"].options
        await pilot.press("e", *["down"] * 6, *["backspace"] * 2, "0", "enter")
        await shows(pilot, "scale 0")
        assert table.own["clip_reid"].options == {"i2t": {"scale": 0}}


async def test_an_edited_system_is_saved_with_what_it_is_beside_its_loss(nothing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with opened(nothing) as (_, pilot):
        await shows(pilot, "your own")
        await pilot.press(*"j" * list(COMBOS).index("mba_net"))
        await pilot.press("e", "backspace", "2", "enter")
        await shows(pilot, "mba_net (edited)")
        await pilot.press("w", *"mine", "enter")
        await until(pilot, lambda: "mine" in read_user_file().combos)
    config = resolve("mine", 0, read_user_file().combos)
    assert config.model.branches == "mba" and config.loss["ce"]["weight"] == 2
    handid = replace(COMBOS["clip_handid"], options={"ce": {"smoothing": 0.2}})
    save_combo("soft", handid)
    assert read_user_file().combos["soft"].recipe == COMBOS["clip_handid"].recipe
    Path("handreid.toml").write_text('[combos.wrong]\nlike = "mbanet"\nce = 1\n')
    with pytest.raises(UserError, match=r"combos.wrong\] is like 'mbanet'; it must be one of zero_shot, ce"):
        read_user_file()


async def test_an_empty_field_says_what_will_be_taken(nothing, tmp_path, monkeypatch, hands):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "handreid.toml").write_text(f"[run]\ndevice = 'cpu'\ndata.source = {str(hands)!r}\n")
    async with opened(nothing) as (app, pilot):
        fields = app.screen.query_one(Form).fields
        await until(pilot, lambda: fields["device"].input.placeholder == "cpu")
        assert fields["gallery"].input.placeholder == "all"
        assert fields["data"].input.placeholder == str(hands)
        await pilot.press("f", *"synthetic")
        await until(pilot, lambda: fields["gallery"].input.placeholder == "own")
        await shows(pilot, "auto: the first available")


async def test_a_few_steps_are_noted_below_the_settings(nothing, hands):
    async with opened(nothing) as (app, pilot):

        def noted() -> str:
            return " ".join(text_of(app).partition("1 run ·")[2].split())  # the line may be wrapped

        await pilot.press("j", "space")
        fields = app.screen.query_one(Form).fields
        fields["data"].input.value, fields["model"].input.value = str(hands), "handreid-tiny"
        await until(pilot, lambda: "! 40 epochs are only 40 steps on 50 training images: consider 200" in noted())
        fields["epochs"].input.value = "41"
        await until(pilot, lambda: "! 41 epochs are only 41 steps on 50" in noted())
        fields["epochs"].input.value = "200"
        await until(pilot, lambda: "steps" not in noted() and "11k Hands" in noted())


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (160, 48)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_the_queue_is_there_while_something_waits(size, tmp_path):
    places = Places(tmp_path / "runs.db", tmp_path / "runs")
    Trainer(make_run(places.runs, "ce", 0)).start().steps(0, 5)
    for seed in (1, 2):
        wait_in_queue(make_run(places.runs, "ce_triplet", seed))
    async with opened(places, size=size) as (app, pilot):
        await shows(pilot, "1 running · 2 queued", "▶ running", "◌ queued", "Select combinations with space.")
        await pilot.press("tab") if size[0] == 80 else await pilot.press("tab", "tab")
        await pilot.press("end", "s")
        await shows(pilot, "Stop run 3 ce_triplet s2? It is removed from the queue")
        await pilot.press("escape")
        if size[1] == 30:
            combos = app.screen.query_one(ComboTable)
            assert combos.size.height == len(COMBOS) + 2  # their rows, titles, and your own
            assert app.screen.query_one("#queue").size.height == 3
            assert "more" not in str(combos.border_subtitle)
            await pilot.press("escape", "plus", "enter")  # one more than there is room for, the queue stays as it is
            await shows(pilot, "✓  ce+triplet:0.5", "more below", "1 running · 2 queued")


async def test_a_low_terminal_has_no_queue_while_nothing_waits(nothing):
    async with opened(nothing, size=(80, 24)) as (app, _):
        assert "Queue" not in text_of(app)


async def test_where_the_combinations_do_not_fit_the_cursor_stays_in_sight_and_the_rest_is_counted(nothing):
    async with opened(nothing, size=(80, 24)) as (app, pilot):
        table = app.screen.query_one(ComboTable)
        room = table.size.height - 1
        assert room < len(table.keys)
        await shows(pilot, f"{len(table.keys) - room} more below")
        for place in range(1, len(table.keys)):
            await pilot.press("j")
            above = max(0, place - room + 1)
            below = len(table.keys) - room - above
            told = [f"{count} more {side}" for count, side in ((above, "above"), (below, "below")) if count]
            await shows(pilot, ", ".join(told))
            assert table.scroll_offset.y <= place < table.scroll_offset.y + room
        await shows(pilot, "your own")


async def test_a_problem_is_told_to_its_end_in_the_words_of_the_form(nothing, hands):
    async with opened(nothing, size=(80, 24)) as (_, pilot):
        await pilot.press("j", "space", "f", *str(hands), "tab", *"foo", "tab", *"oops")
        await shows(pilot, "! Gallery oops", "Gallery: ")
        await pilot.press(*["backspace"] * 4)
        await shows(pilot, "! …/small (11k Hands", "has no subset 'foo', but has", "dorsal-right, all.")


async def test_a_gpu_that_is_not_there_is_told_before_the_launch(nothing, hands, monkeypatch):
    monkeypatch.setenv("HANDREID_FAKE_GPUS", "1")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    async with opened(nothing) as (app, pilot):
        await pilot.press("j", "space", "f", *str(hands))
        app.screen.query_one(Form).fields["device"].input.focus()
        await pilot.press(*"cuda:9")
        await shows(pilot, "There is no cuda:9: this machine has only 1 GPU.")


def test_options_of_the_command_line_are_fields():
    assert of_field(UserError("There is no folder /nowhere.", "data.source")) == "Data: There is no folder /nowhere."
    assert of_field(UserError("use 8 or less", "train.images_per_id")) == "Batch: use 8 or less"
    assert of_field(UserError("must be positive", "train.warmup_epochs")) == "More: must be positive"
    assert of_field(UserError("in /a/very/long/path/to/some/where/small, not")) == "in …/small, not"


async def test_a_toast_leaves_the_button_free(nothing, tmp_path):
    app = HandreidApp(nothing, tmp_path / "ui.json")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await shows(pilot, "zero_shot")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.screen.query(Toast))
        await shows(pilot, "first.")
        button = app.screen.query_one("#launch").region
        assert all(not button.overlaps(toast.region) for toast in app.screen.query(Toast))


@pytest.mark.parametrize("page", PAGES)
async def test_where_it_is_narrow_a_toast_takes_the_place_of_the_key_bar(page, tmp_path):
    app = HandreidApp(write_history(tmp_path, seeds=1), tmp_path / "ui.json")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.snapshot.loaded)
        await pilot.press(str(1 + list(PAGES).index(page)))
        for words, lines in (("Copied.", 1), ("Run 12 failed: " + "the reason is told at length; " * 9, 2)):
            app.notify(words, timeout=60)
            await until(pilot, lambda words=words: app.screen.query(Toast) and words[:7] in text_of(app))
            wanted = Region(0, 24 - lines, 80, lines)
            await until(pilot, lambda wanted=wanted: [t.region for t in app.screen.query(Toast)][-1:] == [wanted])
            focused = app.screen.focused
            assert focused is None or not wanted.overlaps(focused.content_region)
            assert " …" in text_of(app).splitlines()[-1] or lines == 1
