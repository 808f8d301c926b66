"""Launch: choose combinations and settings, see what they are and how long they take, start the runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Button, Static

from engine.data.wording import count
from handreid_tui.settings import UserFile, read_user_file
from handreid_tui.text import run_text
from handreid_tui.ui.background import Latest
from handreid_tui.ui.history_feed import Snapshot
from handreid_tui.ui.keymap import named
from handreid_tui.ui.page import Page
from handreid_tui.ui.run_actions import RunActions
from handreid_tui.ui.screens.launch.check_form import FormCheck, FormInput, check_form, doubts
from handreid_tui.ui.screens.launch.combo_actions import ComboActions
from handreid_tui.ui.screens.launch.combo_details import about
from handreid_tui.ui.screens.launch.combo_table import OWN, ComboTable
from handreid_tui.ui.screens.launch.form import Form
from handreid_tui.ui.screens.launch.queue_table import QueueTable
from handreid_tui.ui.screens.launch.request import LaunchRequest, draw_hands, headline, launch, time_needed
from handreid_tui.ui.screens.launch.so_far import Result, Results, Wanted
from handreid_tui.ui.table import RowTable

if TYPE_CHECKING:
    from handreid_tui.history import RunRow
    from handreid_tui.ui.screens.launch.again import Again

ADD_HELP = """Terms joined by +, each with an optional weight after a colon:
ce+triplet:0.5+cosface

For more, write [combos.NAME] in handreid.toml."""
LOWEST_WITH_QUEUE = 24
JUDGE_AFTER = 0.15  # seconds without a key
DRAWING = "Generating the synthetic hands, once …"


class Launch(Page):
    """The table of combinations, the queue, the settings, and the button."""

    page = "launch"
    BINDING_GROUP_TITLE = "Launch"
    BINDINGS: ClassVar[list[BindingType]] = named(
        "launch",
        [
            Binding("space", "choose", "Choose", tooltip="Select or deselect the combination"),
            Binding(
                "ctrl+r", "launch", "Launch", priority=True, tooltip="Launch the runs of the selected combinations"
            ),
            Binding("e,enter", "edit", "Edit", key_display="e", tooltip="Edit weights, margins and other options"),
            Binding("plus,a", "add", "Own", key_display="+", tooltip="Add a custom combination"),
            Binding("w", "save", "Save as", tooltip="Save the combination under a name, in handreid.toml"),
            Binding("f", "fields", "Settings", tooltip="Go to the settings"),
            Binding("t", "tune", "Tune", tooltip="Search for the best settings of the selected combinations"),
            Binding("escape", "table", "Table", show=False, tooltip="Back to the table"),
        ],
    )
    DEFAULT_CSS = """
    Launch #upper { height: 3fr; min-height: 6; }
    Launch #combos { width: 3fr; height: 100%; }
    Launch #queue { height: 2fr; display: none; }
    Launch.-tall #queue { display: block; }
    Launch.-short.busy #upper { height: 1fr; }
    Launch.-short.busy #queue { display: block; height: 5; }
    Launch #about { width: 2fr; height: 100%; border: round $border-blurred; border-title-style: bold;
                    border-title-color: $foreground; padding: 0 1; scrollbar-size-vertical: 1; }
    Launch #about:focus { border: round $border; }
    Launch #about Static { height: auto; }
    Launch #bottom { height: auto; padding: 1 2 0 2; }
    Launch #word { width: 1fr; height: auto; min-height: 2; max-height: 4; color: $secondary; }
    Launch #launch { min-width: 22; height: 1; border: none; }
    Launch.-normal Form Grid { grid-size: 3; }
    Launch.-narrow Form Grid { grid-size: 2; grid-gutter: 0 2; }
    Launch.-narrow #about { display: none; }
    Launch.-narrow #bottom, Launch.-short #bottom { padding: 0 2; }
    Launch.-tiny Form { display: none; }
    Launch.-tiny #bottom { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._actions = RunActions(self)
        self._snapshot = Snapshot()
        self._combos = ComboActions(self, self._choice_changed, lambda name: self._form.each.get(name))
        self._headline = self._problem = ""
        self._form = FormCheck({})
        self._checking = self._launch_after = False
        self._later: Timer | None = None
        self._form_check = Latest[FormInput, FormCheck](self, check_form, self._show_form, self._misfits)
        self._checked: LaunchRequest | None = None
        runs = self.handreid.places.runs
        self._check = Latest[LaunchRequest, str](
            self, lambda order: headline(order, runs), self._fits, self._misfits, gives_up=True
        )
        self._drawing = False
        self._draw = Latest[None, None](self, lambda _: draw_hands(), lambda _: self._drawn(), self._misfits)
        self._results: Latest[Wanted, dict[str, Result]] = Latest(self, Results().read, self._show_best, lambda _: None)
        self._start: Latest[LaunchRequest, list[Path]] = Latest(
            self, lambda order: launch(order, runs), self._started, self._failed
        )

    def body(self) -> ComposeResult:
        with Vertical():
            with Horizontal(id="upper"):
                yield ComboTable()
                with VerticalScroll(id="about"):
                    yield Static()
            yield QueueTable(self.handreid.places.runs)
            yield Form(self.remembered("fields", {}))
            with Horizontal(id="bottom"):
                yield Static("Select combinations with space.", id="word")
                yield Button("Launch", id="launch", variant="default", compact=True)

    def on_mount(self) -> None:
        self._table.remember(self.remembered("added", []), self.remembered("chosen", []), self.remembered("edited", {}))
        self._table.focus()
        self._show_about()
        self.call_after_refresh(self.set_timer, 0.02, self._read_user_file)

    def _read_user_file(self) -> None:
        def read(_: None) -> UserFile:
            import engine.contract.config  # noqa: F401  (0.1 s, here in the thread, so that the fields can be checked at once)

            return read_user_file()

        def done(user: UserFile) -> None:
            self._combos.user = user
            self._table.set_user(user.combos)
            self._reckon()

        reader: Latest[None, UserFile] = Latest(self, read, done, self._misfits)
        reader.ask(None)

    def show_runs(self, snapshot: Snapshot, changed: frozenset[int] | None) -> None:
        self._snapshot = snapshot
        if changed is None or any(n not in snapshot.runs or snapshot.runs[n].status == "finished" for n in changed):
            self._ask_results()
        if changed is None or changed:
            self.query_one(QueueTable).show_queue(snapshot)
            self._make_room()
            if self._checked:
                self._show_word()

    def on_resize(self) -> None:
        self._make_room()

    def _make_room(self) -> None:
        """Where it is low, the queue is there while something goes on or waits, with two rows in sight."""
        goes_on = any(run_text.is_active(run) or run.status == "queued" for run in self._snapshot.runs.values())
        self.set_class(goes_on and self.size.height >= LOWEST_WITH_QUEUE, "busy")

    def show_nothing(self, why: str) -> None:
        self.query_one(QueueTable).set_empty(why)

    def _ask_results(self) -> None:
        """What these configurations reached: to be asked again when settings, combinations or runs change."""
        if self._snapshot.loaded and (order := self._form.order):
            self._results.ask(Wanted(self._snapshot, dict(self._table.combos), order.settings, order.grid))

    def _show_best(self, best: dict[str, Result]) -> None:
        if self._table.set_best(best):
            self._show_about()

    # --- the tables

    @property
    def _table(self) -> ComboTable:
        return self.query_one(ComboTable)

    @on(RowTable.Highlighted, "#combos")
    def _show_about(self) -> None:
        panel, name = self.query_one("#about"), self._table.current
        if name is None or name == OWN:
            panel.border_title, text = "Your own", Content(ADD_HELP)
        else:
            panel.border_title = Content(self._table.named(name))
            text = about(name, self._table.combos[name], self._table.best_of(name), self._form.each.get(name))
        panel.query_one(Static).update(text)

    def selected(self) -> list[RunRow]:
        """The run under the cursor of the queue."""
        run = self._snapshot.runs.get(self.query_one(QueueTable).current or 0)
        return [run] if run else []

    def action_move_in_queue(self, up: bool) -> None:
        runs = [run for run in self.selected() if run.status == "queued"]

        def job() -> str:
            from handreid_tui.launch import queue

            for run in runs:
                queue.move(run.path, up=up)
            return ""

        if runs:
            self._actions.do(job)
            self.query_one(QueueTable).show_queue(self._snapshot)

    def action_watch(self) -> None:
        if runs := self.selected():
            self.handreid.open_page("live", [runs[0].number])

    def action_stop(self) -> None:
        self._actions.stop(self.selected())

    # --- what will be launched

    @on(Form.Changed)
    def _fields_changed(self) -> None:
        """Checked when no key came for a moment: a key never waits for it."""
        self.remember("fields", self.query_one(Form).values)
        self._checked, self._checking = None, True
        self._check.give_up()
        if self._later:
            self._later.stop()
        self._later = self.set_timer(JUDGE_AFTER, self._reckon)

    def _choice_changed(self) -> None:
        self.remember("chosen", list(self._table.chosen))
        self.remember("added", list(self._table.added))
        self.remember("edited", self._table.edited)
        self._show_about()
        self._reckon()

    def _reckon(self) -> None:
        """Judge what was typed and chosen, in a thread."""
        table = self._table
        chosen = tuple(name for name in table.chosen if name in table.combos)
        self._checking = True
        names = tuple(table.combos)
        self._form_check.ask(FormInput(self.query_one(Form).texts, names, chosen, table.own, self._combos.user))

    def _show_form(self, check: FormCheck) -> None:
        form = self.query_one(Form)
        self._checking, self._form = False, check
        self._problem, self._checked = check.problem, None
        form.show_reasons(check.reasons)
        if check.config:
            form.show_defaults(check.config)
        if check.order and check.configs:
            self._checked = check.order
            self._check.ask(check.order)
        self._show_word()
        self._show_about()
        self._ask_results()
        if self._launch_after:
            self._launch_after = False
            self.action_launch()

    def _show_word(self) -> None:
        """Below the settings: what is wrong, or what will be launched."""
        wrong, order = self.query_one(Form).wrong, self._checked
        button, word = self.query_one("#launch", Button), self.query_one("#word", Static)
        runs = "Launch"
        if wrong:
            text = Content.assemble((f"! {wrong.entry.label}: {wrong.reason}", "$error"))
        elif self._problem:
            text = Content.assemble((f"! {self._problem}", "$error"))
        elif order is None:
            text = Content("Select combinations with space.")
        else:
            runs = count(len(self._form.configs), "run")
            at_once = max(1, sum(device.gpu for device in self._snapshot.devices))
            time = time_needed(self._form.configs, self._snapshot.runs.values(), at_once)
            text = Content.assemble((self._form.count, "bold $foreground"), f" · {time}\n{self._headline}")
            runs = f"Launch {runs}"
        word.update(text)
        button.label = runs
        button.variant = "primary" if runs != "Launch" else "default"

    def _fits(self, text: str) -> None:
        self._headline, self._problem = text or DRAWING, ""
        self._show_word()
        if not text and not self._drawing:
            self._drawing = True
            self._draw.ask(None)

    def _drawn(self) -> None:
        self._drawing = False
        self._reckon()

    def _misfits(self, text: str) -> None:
        self._headline, self._problem = "", text
        self._show_word()

    def _started(self, paths: list[Path]) -> None:
        from handreid_tui.runs import directory

        self.query_one("#launch", Button).loading = False
        self.say(f"Launched {len(paths)} run{'s' if len(paths) > 1 else ''}.")
        self.handreid.look_again()
        self._table.focus()  # back here, the next key is a command, not a digit in a field
        if self.app.screen is self:
            self.handreid.open_page("live", [directory.number(paths[0])])

    def _failed(self, text: str) -> None:
        self.query_one("#launch", Button).loading = False
        self._misfits(text)
        self.say(self._problem, wrong=True)

    # --- actions

    @on(RowTable.Opened, "#combos")
    def action_choose(self) -> None:
        self._combos.choose()

    def action_edit(self) -> None:
        self._combos.edit()

    def action_add(self) -> None:
        self._combos.add()

    def action_save(self) -> None:
        self._combos.save()

    def action_remove(self) -> None:
        self._combos.remove()

    def action_fields(self) -> None:
        next(iter(self.query_one(Form).fields.values())).input.focus()

    def action_table(self) -> None:
        self._table.focus()

    @on(Button.Pressed, "#launch")
    def action_launch(self) -> None:
        button = self.query_one("#launch", Button)
        if self._checking:
            self._launch_after = True  # as soon as the last key is judged
        elif self.query_one(Form).wrong:
            self.say("Fix the highlighted field first.", wrong=True)
        elif not self._table.chosen:
            self.say("Select combinations with space first.", wrong=True)
        elif (order := self._checked) and not button.loading:
            if questions := doubts(self._form, self._table.results):
                from handreid_tui.ui.dialogs import Confirm

                text = f"{' '.join(questions)} Launch anyway?"
                self.app.push_screen(Confirm("Launch", text, "Launch"), lambda yes: self._begin(order) if yes else None)
            else:
                self._begin(order)

    def action_tune(self) -> None:
        from handreid_tui.ui.screens.launch.tune_dialog import TuneDialog
        from handreid_tui.ui.screens.launch.tune_request import why_not

        if (order := self._checked) is None:
            self.say("Select combinations and fix the settings first.", wrong=True)
        elif reason := why_not(order):
            self.say(reason, wrong=True)
        else:
            known = tuple(self._snapshot.runs.values())
            self.app.push_screen(TuneDialog(order, self.handreid.places.runs, known), self._tuned)

    def _tuned(self, number: int | None) -> None:
        if number is not None:
            self.say(f"Started sweep @{number}: Runs (3) shows it.")
            self.handreid.look_again()

    def _begin(self, order: LaunchRequest) -> None:
        self.query_one("#launch", Button).loading = True
        self._start.ask(order)

    def open_runs(self, numbers: list[int], seeds: Sequence[int] = ()) -> None:
        """Set the page up to launch again like these runs, with these seeds, or else with the next one."""
        from handreid_tui.ui.screens.launch.again import again, unused_seed

        runs = self.handreid.snapshot.runs
        if found := [runs[number] for number in numbers if number in runs]:
            combos = {run.combo for run in found}
            used = sorted({run.seed for run in runs.values() if run.combo in combos})
            paths, chosen = tuple(run.path for run in found), tuple(seeds) or (unused_seed(used),)
            reader: Latest[None, Again] = Latest(self, lambda _: again(paths, chosen), self._fill, self._failed)
            reader.ask(None)

    def _fill(self, found: Again) -> None:
        self.query_one(Form).fill(found.fields)
        self._table.set_again(found.combos)
        self._choice_changed()
        self.query_one(Form).fields["seeds"].input.focus()
        if found.others:
            others = count(found.others, "other run")
            self.say(f"{others} with other settings: launch {'it' if found.others == 1 else 'them'} separately.")


def make() -> Launch:
    return Launch()
