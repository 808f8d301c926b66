"""What the five screens share: the bars at the top and the bottom, and the news from the feed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, cast

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from handreid_tui.settings import Places
from handreid_tui.ui.history_feed import Snapshot
from handreid_tui.ui.key_bar import KeyBar
from handreid_tui.ui.notifications import Endings
from handreid_tui.ui.preferences import Remembered
from handreid_tui.ui.top_bar import TopBar


class Manager(Protocol):
    """What a page needs of the app."""

    places: Places
    remembered: Remembered
    snapshot: Snapshot
    problem: str
    endings: Endings

    def look_again(self) -> None:
        """Read what changed now."""

    def open_page(self, page: str, numbers: list[int], seeds: Sequence[int] = ()) -> None:
        """Go to a page and show these runs there; on Launch, to make them again with these seeds."""


class Page(Screen[None]):
    """One of the five screens. A page fills itself in `show_runs`, and only while it is in sight."""

    page: str
    ESCAPE_TO_MINIMIZE = True
    DEFAULT_CSS = """
    Page { background: $background; layers: base top; }
    Page #problem { height: auto; max-height: 4; padding: 0 2; color: $error; display: none; }
    Page #problem.there { display: block; }
    Page.-tiny KeyBar { display: none; }
    """

    def body(self) -> Iterable[Widget]:
        """The widgets between the bar and the footer."""
        raise NotImplementedError

    def show_runs(self, snapshot: Snapshot, changed: frozenset[int] | None) -> None:
        """Show the runs; `changed`: the numbers of those that differ from the last time, None for all."""

    def open_runs(self, numbers: list[int], seeds: Sequence[int] = ()) -> None:
        """Show these runs: the user asked for them on another page. seeds: see `Manager.open_page`."""

    def show_nothing(self, why: str) -> None:
        """Say in the place of the runs why there are none to show: the history cannot be read."""

    def compose(self) -> ComposeResult:
        yield TopBar(self.page)
        yield Static(id="problem", markup=False)
        yield from self.body()
        yield KeyBar()

    @property
    def handreid(self) -> Manager:
        return cast(Manager, self.app)

    def remembered(self, name: str, default: Any) -> Any:
        return self.handreid.remembered.get(self.page, name, default)

    def remember(self, name: str, value: Any) -> None:
        self.handreid.remembered.put(self.page, name, value)

    def on_screen_resume(self) -> None:
        self.call_after_refresh(self.show_snapshot, self.handreid.snapshot, None)

    def show_snapshot(self, snapshot: Snapshot, changed: frozenset[int] | None) -> None:
        if not self.query(TopBar):
            return  # the app is being closed, and the feed has one more word
        self.query_one(TopBar).show(snapshot)
        self.show_problem(self.handreid.problem)
        if snapshot.loaded:
            self.show_runs(snapshot, changed)

    def show_problem(self, text: str) -> None:
        """Say what is wrong with the history, below the bar; "" when it is well again."""
        for problem in self.query("#problem").results(Static):
            problem.set_class(bool(text), "there")
            problem.update(f"! {text}" if text else "")
        if text and not self.handreid.snapshot.loaded and self.is_mounted and self.query(TopBar):
            self.show_nothing(text)

    def say(self, text: str, *, wrong: bool = False) -> None:
        """A short word to the user in the corner."""
        self.notify(text, severity="error" if wrong else "information", timeout=6 if wrong else 3, markup=False)
