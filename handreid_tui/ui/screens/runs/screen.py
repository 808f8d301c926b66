"""Runs: the whole history as a table to sort, filter, tag, note, archive, open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widgets import Input, Static

from engine.contract.errors import UserError
from handreid_tui.history.filter import Filter, parse_filter
from handreid_tui.history.filter_values import known_columns, matching, missing_settings, of_the_row, read_settings
from handreid_tui.text.run_labels import run_labels
from handreid_tui.ui.background import Latest
from handreid_tui.ui.choose_many import ChooseMany
from handreid_tui.ui.history_feed import Snapshot
from handreid_tui.ui.page import Page
from handreid_tui.ui.run_actions import RunActions
from handreid_tui.ui.screens.runs import marks
from handreid_tui.ui.screens.runs.columns import (
    USUAL,
    USUAL_IDS,
    RunColumn,
    best_values,
    cells,
    choosable,
    columns,
    ordered,
)
from handreid_tui.ui.screens.runs.details import Details
from handreid_tui.ui.screens.runs.edits import Edits
from handreid_tui.ui.screens.runs.keys import KEYS
from handreid_tui.ui.screens.runs.sweep_lines import SweepLines, open_sweep
from handreid_tui.ui.table import Column, RowTable

if TYPE_CHECKING:
    from handreid_tui.history import Message, RunRow

EMPTY = "No runs yet. Press 1 to select combinations and start."
MARK = Column("mark", "", 1)


@dataclass(frozen=True)
class About:
    """What the details need beyond the row."""

    number: int
    configuration: dict[str, Any]
    messages: list[Message]


class Runs(Page):
    """Every run of the history."""

    page = "runs"
    BINDING_GROUP_TITLE = "Runs"
    BINDINGS: ClassVar[list[BindingType]] = KEYS
    DEFAULT_CSS = """
    Runs #filter { margin: 0 1; background: $background; }
    Runs #reason { height: 1; padding: 0 2; color: $error; display: none; }
    Runs #reason.wrong { display: block; }
    Runs #left-out { height: auto; max-height: 3; padding: 0 2; color: $warning; display: none; }
    Runs #left-out.some { display: block; }
    Runs RowTable { width: 1fr; height: 1fr; }
    Runs Details { width: 46; height: 1fr; display: none; }
    Runs.-wide Details { display: block; }
    Runs Details.hidden { display: none; }
    Runs.-wide Details.hidden { display: none; }
    Runs Details.shown { display: block; }
    Runs.-narrow Details.shown { width: 100%; }
    Runs.-narrow Horizontal { layout: vertical; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._actions = RunActions(self)
        self._edits = Edits(self, self._actions)
        self._snapshot = Snapshot()
        self._filter = Filter("", frozenset(), lambda values: True)
        self._settings: dict[str, Mapping[int, Any]] = {}
        self._marked: dict[int, None] = {}
        self._sort = ("run", True)
        self._archived = False
        self._best: dict[tuple[str, str], float] = {}
        self._chosen: tuple[str, ...] = USUAL_IDS
        self._columns: tuple[RunColumn, ...] = USUAL
        self._labels: dict[int, str] = {}
        self._sweeps = SweepLines()
        self._known: Latest[None, tuple[list[str], list[str]]] = Latest(
            self, lambda _: known_columns(self._snapshot.history), self._choose_columns, self.show_problem
        )
        self._about: Latest[RunRow, About] = Latest(self, self._read_about, self._show_about, lambda _: None)
        self._keys: Latest[list[str], dict[str, dict[int, Any]]] = Latest(
            self, lambda keys: read_settings(self._snapshot.history, keys), self._take_settings, self.show_problem
        )

    def body(self) -> ComposeResult:
        yield Input(placeholder="combo:ce_arcface mAP>0.9 tag:paper -status:failed", id="filter", compact=True)
        yield Static("", id="reason", markup=False)
        yield Static("", id="left-out", markup=False)
        with Horizontal():
            shown = [MARK, *(column.column for column in USUAL)]
            yield RowTable[int](shown, self._cells, title="Runs", empty="Loading …")
            yield Details()

    def on_mount(self) -> None:
        column, descending = self.remembered("sort", "run"), self.remembered("descending", True)
        self._chosen = tuple(map(str, self.remembered("columns", []))) or USUAL_IDS
        self._sort = (column if column in {*USUAL_IDS, *self._chosen} else "run", descending)
        self._marked = {number: None for number in self.remembered("marked", []) if isinstance(number, int)}
        self.query_one(Details).set_class(not self.remembered("details", True), "hidden")
        text = self.query_one("#filter", Input)
        text.value = self.remembered("filter", "")
        text.display = bool(text.value)
        self.query_one(RowTable).focus()

    # --- the table

    def _cells(self, number: int) -> Any:
        if number < 0:
            return self._sweeps.cells(number, self._columns)
        return cells(self._snapshot.runs[number], self._columns, number in self._marked, self._best)

    def show_runs(self, snapshot: Snapshot, changed: frozenset[int] | None) -> None:
        self._snapshot = snapshot
        self._show_left_out(snapshot.left_out)
        if changed:
            self._settings = {}
        self._show(changed)
        table = self.query_one(RowTable)
        if changed is None or table.current in changed:
            self._ask_about()

    def _show_left_out(self, sentences: tuple[str, ...]) -> None:
        """Name the folders that hold runs and are not listed: the first, and how many more."""
        line = self.query_one("#left-out", Static)
        line.set_class(bool(sentences), "some")
        more = f" {len(sentences) - 1} more: see `handreid runs`." if len(sentences) > 1 else ""
        line.update(f"! {sentences[0]}{more}" if sentences else "")

    def show_nothing(self, why: str) -> None:
        self.query_one(RowTable).set_empty(why)

    def _show(self, changed: frozenset[int] | None = None) -> None:
        extra = [key for key in self._chosen if key not in USUAL_IDS and not of_the_row(key)]
        missing = {
            *missing_settings(self._filter, self._settings),
            *(key for key in extra if key not in self._settings),
        }
        if missing:
            self._keys.ask(sorted(missing))
            return
        runs = self._snapshot.runs
        usual = {n: run for n, run in runs.items() if self._archived or not run.archived}
        found = matching(usual, self._filter, self._settings)
        table = self.query_one(RowTable)
        labels = run_labels(found, self._snapshot.settings, seeds="seed" not in self._chosen)
        shown = columns(self._chosen, labels, self._settings)
        if labels != self._labels or [c.column for c in shown] != [c.column for c in self._columns]:
            changed = None
            table.set_columns([MARK, *(column.column for column in shown)])
        self._labels, self._columns = labels, shown
        best = best_values(found, shown)
        if best != self._best:
            self._best, changed = best, None
        current = self.remembered("current", 0) if table.current is None else None
        table.set_empty("No run matches the filter: esc clears it." if usual else EMPTY)
        table.set_sorted(*self._sort)
        if any(runs[number].sweep for number in changed or () if number in runs):
            changed = None  # the line of its sweep changes too
        lines = self._sweeps.keys(ordered(self._sweeps.take(found, self._filter), shown, *self._sort))
        table.show(lines, changed, current or None)
        self._marked = {number: None for number in self._marked if number in runs}
        count = f"{len(found)} of {len(runs)}" if len(found) != len(runs) else f"{len(runs)}"
        hidden = len(self._marked.keys() - set(table.keys))
        marked = f"{len(self._marked)} marked{f', {hidden} of them hidden' if hidden else ''} · "
        table.set_word(f"{marked if self._marked else ''}{count}")

    def _take_settings(self, settings: dict[str, dict[int, Any]]) -> None:
        self._settings |= settings
        self._show()

    def selected(self) -> list[RunRow]:
        """The marked runs that are in sight, or else the one under the cursor: never one that the filter hides."""
        table, runs = self.query_one(RowTable), self._snapshot.runs
        in_sight = set(table.keys)
        marked = [runs[number] for number in self._marked if number in in_sight and number in runs]
        current = table.current or 0
        return marked or ([runs[current]] if current in runs else [])

    @on(RowTable.Highlighted)
    def _ask_about(self) -> None:
        current = self.query_one(RowTable).current or 0
        self.remember("current", current)
        if current in self._snapshot.runs:
            self._about.ask(self._snapshot.runs[current])
        else:
            self.query_one(Details).show(None, "", {}, [])

    def _read_about(self, run: RunRow) -> About:
        from handreid_tui.history import configuration, messages

        history = self._snapshot.opened
        return About(run.number, configuration(history, run.number), messages(history, run.number))

    def _show_about(self, about: About) -> None:
        if about.number == self.query_one(RowTable).current and about.number in self._snapshot.runs:
            run = self._snapshot.runs[about.number]
            label = self._labels.get(run.number, run.combo)
            self.query_one(Details).show(run, label, about.configuration, about.messages)

    # --- the filter

    @on(Input.Changed, "#filter")
    def _filter_changed(self, event: Input.Changed) -> None:
        reason = self.query_one("#reason", Static)
        try:
            self._filter = parse_filter(event.value)
        except UserError as error:
            reason.update(str(error))
            reason.add_class("wrong")
            return
        reason.remove_class("wrong")
        self.remember("filter", event.value)
        if self._snapshot.loaded:
            self._show()

    def _filter_by(self, text: str) -> None:
        self.query_one("#filter", Input).value = text
        self._filter_done()

    @on(Input.Submitted, "#filter")
    def _filter_done(self) -> None:
        self.query_one("#filter").display = bool(self.query_one("#filter", Input).value)
        self.query_one(RowTable).focus()

    def action_filter(self) -> None:
        text = self.query_one("#filter", Input)
        text.display = True  # at once: what is hidden takes no focus, and the next key would be a command
        text.focus()

    def action_back(self) -> None:
        text = self.query_one("#filter", Input)
        if self.focused is text:
            self._filter_done()
        elif text.value:
            text.value = ""
            text.display = False
        elif self._marked:
            self._mark([])

    # --- sort and mark

    @on(RowTable.HeaderClicked)
    def _sort_by(self, event: RowTable.HeaderClicked) -> None:
        if event.column != MARK.id:
            self._set_sort(event.column, not self._sort[1] if event.column == self._sort[0] else True)

    def action_sort(self, direction: int) -> None:
        shown = [column.id for column, _ in self.query_one(RowTable).columns_in_sight() if column.id != MARK.id]
        at = shown.index(self._sort[0]) if self._sort[0] in shown else 0
        self._set_sort(shown[(at + direction) % len(shown)], self._sort[1])

    def action_reverse(self) -> None:
        self._set_sort(self._sort[0], not self._sort[1])

    def _set_sort(self, column: str, descending: bool) -> None:
        self._sort = (column, descending)
        self.remember("sort", column)
        self.remember("descending", descending)
        self._show()

    def action_mark(self) -> None:
        table = self.query_one(RowTable)
        if table.current is not None:
            self._mark(marks.toggled(self._marked, table.current))
            table.action_move(1)

    def action_mark_all(self) -> None:
        self._mark(marks.all_or_none(self._marked, self.query_one(RowTable).keys))

    def action_invert(self) -> None:
        self._mark(marks.inverted(self._marked, self.query_one(RowTable).keys))

    def action_mark_to(self) -> None:
        table = self.query_one(RowTable)
        if table.current is not None:
            self._mark(marks.up_to(list(self._marked), table.keys, table.current))

    @on(RowTable.CellClicked)
    def _click_mark(self, event: RowTable.CellClicked) -> None:
        if event.column == MARK.id and (number := self.query_one(RowTable).current) is not None:
            self._mark(marks.toggled(self._marked, number))

    def action_again(self) -> None:
        self._open("launch")

    def _mark(self, numbers: list[int]) -> None:
        self._marked = dict.fromkeys(numbers)
        self.remember("marked", numbers)
        self._show()

    # --- actions on the selected runs

    @on(RowTable.Opened)
    def action_open(self) -> None:
        if (current := self.query_one(RowTable).current or 0) < 0:
            open_sweep(self, -current, self._filter_by)
        else:
            self._open("live")

    def action_compare(self) -> None:
        self._open("compare")

    def action_retrieval(self) -> None:
        self._open("retrieval")

    def _open(self, page: str) -> None:
        if runs := self.selected():
            self.handreid.open_page(page, [run.number for run in runs])

    def action_stop(self) -> None:
        if (current := self.query_one(RowTable).current or 0) < 0:
            self._actions.stop_sweep(self.handreid.places.runs, -current)
        else:
            self._actions.stop(self.selected())

    def action_resume(self) -> None:
        if (current := self.query_one(RowTable).current or 0) < 0:
            self._actions.resume_sweep(self.handreid.places.runs, -current)
        else:
            self._actions.resume(self.selected())

    def action_tag(self) -> None:
        if runs := self.selected():
            self._edits.tag(runs)

    def action_note(self) -> None:
        if runs := self.selected():
            self._edits.note(runs)

    def action_note_in_editor(self) -> None:
        if runs := self.selected():
            self._edits.note_in_editor(runs)

    def action_name(self) -> None:
        if runs := self.selected():
            self._edits.name(runs[0])

    def action_archive(self) -> None:
        if runs := self.selected():
            self._edits.archive(runs)

    def action_delete(self) -> None:
        if runs := self.selected():
            self._edits.delete(runs)

    def action_undo(self) -> None:
        self._edits.undo()

    # --- what is in sight

    def action_columns(self) -> None:
        if self._snapshot.loaded:
            self._known.ask(None)

    def _choose_columns(self, known: tuple[list[str], list[str]]) -> None:
        names = choosable(*known)

        def answered(chosen: list[str] | None) -> None:
            if chosen is not None:
                self._chosen = tuple(chosen) or USUAL_IDS
                self.remember("columns", [] if self._chosen == USUAL_IDS else list(self._chosen))
                self._show()

        self.app.push_screen(ChooseMany("Columns", names, self._chosen, USUAL_IDS), answered)

    def action_show_archived(self) -> None:
        self._archived = not self._archived
        self._show()

    def action_details(self) -> None:
        details = self.query_one(Details)
        visible = details.display
        details.set_class(visible, "hidden")
        details.set_class(not visible, "shown")
        self.remember("details", not visible)


def make() -> Runs:
    return Runs()
