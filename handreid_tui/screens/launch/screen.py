"""Launch: choose combinations and settings, see what they are and how long they take, start the runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Static

from engine.combos import COMBOS, Combo, find_combo
from engine.errors import UserError
from handreid_tui.formatting import percent
from handreid_tui.places import UserFile, read_user_file
from handreid_tui.screens.dialogs import Prompt
from handreid_tui.screens.feed import Snapshot
from handreid_tui.screens.latest import Latest
from handreid_tui.screens.launch.about import Best, about, best_so_far
from handreid_tui.screens.launch.edit_terms import EditTerms
from handreid_tui.screens.launch.estimate import estimate
from handreid_tui.screens.launch.form import Form
from handreid_tui.screens.launch.queue_table import QueueTable
from handreid_tui.screens.run_actions import RunPage
from handreid_tui.screens.table import Cell, Column, RowTable

if TYPE_CHECKING:
    from pathlib import Path

    from engine.config import RunConfig
    from handreid_tui.history import RunRow
    from handreid_tui.screens.live.screen import Live

OWN = "+"
COLUMNS = (
    Column("chosen", "", 1),
    Column("name", "combination", 18),
    Column("terms", "terms", 22, rest=True, drop=1),
    Column("rank1", "rank-1", 7, True),
    Column("mAP", "mAP", 6, True),
    Column("seeds", "seeds", 5, True, drop=2),
)


@dataclass(frozen=True)
class Order:
    """Runs that a user asked for."""

    combos: list[str]
    seeds: list[int]
    settings: dict[str, Any]
    own: dict[str, Combo]
    tags: list[str]


class Launch(RunPage):
    """The table of combinations, the settings, and the button."""

    page = "launch"
    BINDING_GROUP_TITLE = "Launch"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "choose", "Choose", tooltip="Choose the combination, or not"),
        Binding("e,enter", "edit", "Edit", key_display="e", tooltip="Edit weights, margins and other options"),
        Binding("plus,a", "add", "Own", key_display="+", tooltip="Add a combination of your own"),
        Binding("f", "fields", "Settings", tooltip="Go to the settings"),
        Binding("ctrl+r", "launch", "Launch", priority=True, tooltip="Launch the chosen runs"),
        Binding("escape", "table", "Table", show=False, tooltip="Back to the table"),
    ]
    DEFAULT_CSS = """
    Launch #upper { height: 3fr; min-height: 6; }
    Launch #combos { width: 3fr; height: 100%; }
    Launch #queue { height: 2fr; display: none; }
    Launch.-tall #queue { display: block; }
    Launch #about { width: 2fr; height: 100%; border: round $border-blurred; border-title-style: bold;
                    border-title-color: $foreground; padding: 0 1; scrollbar-size-vertical: 1; }
    Launch #about:focus { border: round $border; }
    Launch #about Static { height: auto; }
    Launch #bottom { height: 3; padding: 1 2 0 2; }
    Launch #word { width: 1fr; height: 2; color: $secondary; }
    Launch #launch { min-width: 22; height: 1; border: none; }
    Launch.-normal Form Grid { grid-size: 3; }
    Launch.-narrow Form Grid { grid-size: 2; grid-gutter: 0 2; }
    Launch.-narrow #about { display: none; }
    Launch.-narrow #bottom { height: 2; padding: 0 2; }
    Launch.-short #bottom { height: 2; padding: 0 2; }
    Launch.-tiny Form { display: none; }
    Launch.-tiny #bottom { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._snapshot = Snapshot()
        self._user = UserFile()
        self._added: dict[str, Combo] = {}
        self._edited: dict[str, Combo] = {}
        self._chosen: dict[str, None] = {}
        self._best: dict[str, Best] = {}
        self._problem = ""
        self._plan = Latest[Order, str](self, self._check, self._planned, self._planned_wrong)
        self._queue: Latest[None, list[int]] = Latest(self, self._read_queue, self._show_queue, self.show_problem)
        self._waiting: list[int] = []
        self._start: Latest[Order, list[Path]] = Latest(self, self._make, self._started, self._failed)

    def body(self) -> ComposeResult:
        with Vertical():
            with Horizontal(id="upper"):
                yield RowTable[str](COLUMNS, self._cells, title="Combinations", id="combos")
                with VerticalScroll(id="about"):
                    yield Static()
            yield QueueTable()
            yield Form(self.remembered("fields", {}))
            with Horizontal(id="bottom"):
                yield Static(id="word")
                yield Button("Launch", id="launch", variant="primary", compact=True)

    def on_mount(self) -> None:
        for text in self.remembered("added", []):
            try:
                self._added[str(text)] = find_combo(str(text))
            except UserError:
                continue
        known = self._combos()
        self._chosen = {name: None for name in self.remembered("chosen", []) if name in known}
        self._read_user_file()
        table = self._table
        self._show_table()
        table.focus()
        self._show_about()

    def _read_user_file(self) -> None:
        def done(user: UserFile) -> None:
            self._user = user
            self._show_table()
            self.query_one(Form).check()
            self._reckon()

        def read(_: None) -> UserFile:
            import engine.config  # noqa: F401  (0.1 s, here in the thread, so that the fields can be judged at once)

            return read_user_file()

        reader: Latest[None, UserFile] = Latest(self, read, done, self._planned_wrong)
        reader.ask(None)

    # --- the table

    @property
    def _table(self) -> RowTable[str]:
        return self.query_one("#combos", RowTable)

    def _combos(self) -> dict[str, Combo]:
        return COMBOS | self._user.combos | self._added | self._edited

    def _show_table(self) -> None:
        self._table.show([*self._combos(), OWN])

    def _cells(self, name: str) -> Sequence[Cell]:
        if name == OWN:
            return " ", ("+ your own …", "secondary"), ("such as ce+triplet:0.5+cosface", "secondary"), "", "", ""
        combo, best = self._combos()[name], self._best.get(name)
        chosen = name in self._chosen
        title = f"{combo.title} (edited)" if name in self._edited else combo.title
        numbers: list[Cell] = ["", "", ""]
        if best:
            seeds = "" if name == "zero_shot" else str(best.seeds)
            numbers = [percent(best.rank1), percent(best.mAP), (seeds, "secondary")]
        return (
            ("✓", "success bold") if chosen else " ",
            (name, "bold" if chosen else ""),
            (title, "secondary"),
            *numbers,
        )

    @on(RowTable.Highlighted, "#combos")
    def _show_about(self) -> None:
        panel = self.query_one("#about")
        name = self._table.current
        if name in (OWN, None):
            text = Content("Terms joined by +, each with its weight after a colon:\nce+triplet:0.5+cosface\n\n"
                           "For more, write [combos.NAME] in handreid.toml.")  # fmt: skip
            panel.border_title = "Your own"
        else:
            text = about(name, self._combos()[name], self._best.get(name))
            panel.border_title = name
        panel.query_one(Static).update(text)

    def show_runs(self, snapshot: Snapshot, changed: frozenset[int] | None) -> None:
        self._snapshot = snapshot
        best = best_so_far(snapshot.runs.values())
        if best != self._best:
            self._best = best
            self._show_table()
            self._show_about()
        if changed is None or changed:
            self._show_queue(self._waiting)
            self._queue.ask(None)
            self._reckon()

    # --- the queue

    def selected(self) -> list[RunRow]:
        """The run under the cursor of the queue."""
        run = self._snapshot.runs.get(self.query_one(QueueTable).current or 0)
        return [run] if run else []

    def _read_queue(self, _: None) -> list[int]:
        from handreid_tui import rundir
        from handreid_tui.launch import queue

        return [rundir.number(run.path) for run in queue.waiting(self.handreid.places.runs)]

    def _show_queue(self, waiting: list[int]) -> None:
        self._waiting = waiting
        self.query_one(QueueTable).show_queue(self._snapshot.runs, waiting)

    def action_move_in_queue(self, up: bool) -> None:
        def job() -> str:
            from handreid_tui.launch import queue

            for run in runs:
                queue.move(run.path, up=up)
            return ""

        runs = [run for run in self.selected() if run.status == "queued"]
        if runs:
            self.do(job)
            self._queue.ask(None)

    def action_watch(self) -> None:
        if runs := self.selected():
            self._watch(runs[0].number)

    def _watch(self, number: int) -> None:
        self.handreid.action_go("live")
        live: Live = self.app.screen  # type: ignore[assignment]
        live.call_after_refresh(live.watch_runs, [number])

    # --- what will be launched

    def _order(self) -> Order:
        """Raises UserError where a field is wrong."""
        form = self.query_one(Form)
        own = self._user.combos | self._edited
        return Order(list(self._chosen), form.seeds(), self._user.settings | form.settings(), own, form.tags())

    @on(Form.Changed)
    def _fields_changed(self) -> None:
        self.remember("fields", self.query_one(Form).values)
        self._problem = ""
        self._reckon()

    def _reckon(self) -> None:
        """Say what will be launched and how long it takes; check it against the data in a thread."""
        from engine.config import resolve

        form = self.query_one(Form)
        try:
            order = self._order()
            first = order.combos[0] if order.combos else "ce"
            form.show_defaults(resolve(first, 0, order.own, **order.settings))
        except UserError as error:
            if not form.wrong:
                self._problem = str(error)
        else:
            if order.combos and not form.wrong:
                self._plan.ask(order)
        self._show_word()

    def _show_word(self) -> None:
        wrong = self.query_one(Form).wrong
        button, word = self.query_one("#launch", Button), self.query_one("#word", Static)
        count = 0
        if wrong:
            text = Content.assemble((f"! {wrong.entry.label}: {wrong.reason}", "$error"))
        elif self._problem:
            text = Content.assemble((f"! {self._problem}", "$error"))
        elif not self._chosen:
            text = Content("Choose combinations with space.")
        else:
            order = self._order()
            count = len(order.combos) * len(order.seeds)
            text = Content.assemble((f"{count} run{'s' if count > 1 else ''}", "bold $foreground"), self._time(order))
            if self._headline:
                text = Content.assemble(text, "\n", self._headline)
        word.update(text)
        button.label = f"Launch {count} run{'s' if count > 1 else ''}" if count else "Launch"
        button.variant = "primary" if count else "default"

    _headline = ""

    def _time(self, order: Order) -> str:
        from engine.config import resolve

        try:
            configs = [
                resolve(combo, seed, order.own, **order.settings) for combo in order.combos for seed in order.seeds[:1]
            ]
        except UserError:
            return ""
        at_once = max(1, sum(device.gpu for device in self._snapshot.devices))
        configs = [replace_seed(config, seed) for config in configs for seed in order.seeds]
        found = estimate(configs, self._snapshot.runs.values(), at_once)
        return f" · {found}" if found else " · no run like these yet to tell the time from"

    def _check(self, order: Order) -> str:
        """The headline of the plan. Raises UserError for everything that is known to fail."""
        from handreid_tui.launch.plan import plan

        planned = plan(order.combos, order.seeds, order.settings, self.handreid.places.runs, order.own)
        return "  ".join([planned.headline.partition(" · ")[2], *(f"! {text}" for text in planned.warnings)])

    def _planned(self, headline: str) -> None:
        self._headline, self._problem = headline, ""
        self._show_word()

    def _planned_wrong(self, text: str) -> None:
        self._headline, self._problem = "", text
        self._show_word()

    def _make(self, order: Order) -> list[Path]:
        from handreid_tui import rundir
        from handreid_tui.launch import control
        from handreid_tui.launch.plan import plan

        runs = self.handreid.places.runs
        planned = plan(order.combos, order.seeds, order.settings, runs, order.own)
        paths = [rundir.create(runs, config, tags=order.tags) for config in planned.configs]
        control.launch(paths)
        return paths

    def _started(self, paths: list[Path]) -> None:
        from handreid_tui import rundir

        self.query_one("#launch", Button).loading = False
        self.say(f"Launched {len(paths)} run{'s' if len(paths) > 1 else ''}.")
        self.handreid.look_again()
        if self.app.screen is self:
            self._watch(rundir.number(paths[0]))

    def _failed(self, text: str) -> None:
        self.query_one("#launch", Button).loading = False
        self._planned_wrong(text)
        self.say(text, wrong=True)

    # --- actions

    def action_choose(self) -> None:
        name = self._table.current
        if name == OWN:
            self.action_add()
        elif name is not None:
            if name in self._chosen:
                del self._chosen[name]
            else:
                self._chosen[name] = None
            self._choice_changed()

    def _choice_changed(self) -> None:
        self.remember("chosen", list(self._chosen))
        self._problem = ""
        self._show_table()
        self._reckon()

    @on(RowTable.Opened, "#combos")
    def _clicked_twice(self) -> None:
        self.action_choose()

    def action_edit(self) -> None:
        name = self._table.current
        if name in (OWN, None):
            self.action_add()
            return
        combo = self._combos()[name]
        if not combo.weights:
            self.say("No training, no terms: there is nothing to edit.")
            return

        def answered(changed: Combo | None) -> None:
            if changed is not None:
                self._edited[name] = changed
                self._choice_changed()
                self._show_about()

        self.app.push_screen(EditTerms(name, combo), answered)

    def action_add(self) -> None:
        from engine.config import resolve

        def answered(text: str | None) -> None:
            if text:
                self._added[text] = find_combo(text, self._user.combos)
                self._chosen[text] = None
                self.remember("added", list(self._added))
                self._choice_changed()
                self._table.show([*self._combos(), OWN], None, text)

        hint = "terms: ce, triplet, center, arcface, cosface, supcon, circle"
        check = lambda text: resolve(text, 0, self._user.combos)  # noqa: E731
        self.app.push_screen(Prompt("A combination of your own", "ce+triplet:0.5", hint, check), answered)

    def action_fields(self) -> None:
        next(iter(self.query_one(Form).fields.values())).input.focus()

    def action_table(self) -> None:
        self._table.focus()

    @on(Button.Pressed, "#launch")
    def action_launch(self) -> None:
        button = self.query_one("#launch", Button)
        if self.query_one(Form).wrong or not self._chosen:
            self.say(
                "Mend the marked field first." if self._chosen else "Choose combinations with space first.", wrong=True
            )
        elif not button.loading:
            try:
                order = self._order()
            except UserError as error:
                self._planned_wrong(str(error))
                return
            button.loading = True
            self._start.ask(order)


def replace_seed(config: RunConfig, seed: int) -> RunConfig:
    return config.model_copy(update={"seed": seed})


def make() -> Launch:
    return Launch()
