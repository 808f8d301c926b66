"""Keys that come faster than they are handled land where they were meant to."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual import events
from textual.app import App
from textual.keys import _character_to_key
from textual.widgets import Input

from handreid_tui.settings import Places
from handreid_tui.ui.dialogs import Prompt
from handreid_tui.ui.screens.launch.form import Form
from handreid_tui.ui.table import RowTable
from tests.support.tui_tools import opened, until, write_history


def type_at_once(app: App, text: str) -> None:
    """All keys in one go, as a terminal hands them over after a stall; a tab is the key."""
    for character in text:
        key = {"\t": "tab", "\r": "enter"}.get(character) or _character_to_key(character)
        app.post_message(events.Key(key, character))


@pytest.fixture
def slow_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every key takes a field some time, as on a busy machine."""
    usual = Input._on_key

    async def slowly(self: Input, event: events.Key) -> None:
        await asyncio.sleep(0.03)
        await usual(self, event)

    monkeypatch.setattr(Input, "_on_key", slowly)


async def test_characters_do_not_overtake_tab(tmp_path: Path, slow_fields: None) -> None:
    async with opened(Places(tmp_path / "runs.db", tmp_path / "runs")) as (app, pilot):
        fields = app.screen.query_one(Form).fields
        fields["batch"].input.focus()
        await pilot.pause()
        type_at_once(app, "8x2\t5e-4\t0,1")
        await until(pilot, lambda: fields["seeds"].text == "0,1")
        assert (fields["batch"].text, fields["lr"].text) == ("8x2", "5e-4")


async def test_what_is_typed_after_a_key_that_opens_a_dialog_belongs_to_the_dialog(
    tmp_path: Path, slow_fields: None
) -> None:
    """`N` and a name with d in it must not delete the run."""
    places = write_history(tmp_path, seeds=1)
    async with opened(places, "runs") as (app, pilot):
        type_at_once(app, "Ndad")
        await until(pilot, lambda: isinstance(app.screen, Prompt) and app.screen.query(Input))
        await until(pilot, lambda: app.screen.query_one(Input).value.endswith("dad"))
        type_at_once(app, "dy\r")
        await until(pilot, lambda: app.snapshot.runs[5].name.endswith("daddy"))
        type_at_once(app, "/tag:paper\r")
        await until(pilot, lambda: app.screen.query_one(RowTable).keys == [5])
        await pilot.press("escape")
        type_at_once(app, "jjtnew\r")
        await until(pilot, lambda: app.snapshot.runs[3].tags == ("new",))


async def test_a_key_that_is_never_done_with_holds_up_the_next_for_a_moment_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handreid_tui.ui.typing_order.LONGEST", 0.2)
    async with opened(Places(tmp_path / "runs.db", tmp_path / "runs")) as (app, pilot):
        field = app.screen.query_one(Form).fields["tags"].input
        field.focus()
        await pilot.pause()
        monkeypatch.setattr(app._typing, "_mark", lambda *_: None)
        type_at_once(app, "ab")
        await until(pilot, lambda: field.value == "ab")
