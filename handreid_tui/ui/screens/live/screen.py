"""Live: curves, progress and log of the runs that go on, and of any other run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Grid, Vertical
from textual.content import Content
from textual.widgets import Static

from engine.contract import run_files
from engine.contract.errors import UserError
from handreid_tui.runs.log_text import LogReader
from handreid_tui.text import run_text
from handreid_tui.ui.background import Latest
from handreid_tui.ui.chart import ticks
from handreid_tui.ui.chart.curves import Curves
from handreid_tui.ui.chart.widget import Chart
from handreid_tui.ui.choose_many import ChooseMany
from handreid_tui.ui.history_feed import Snapshot
from handreid_tui.ui.keymap import named
from handreid_tui.ui.other_programs import page_file
from handreid_tui.ui.page import Page
from handreid_tui.ui.run_actions import RunActions
from handreid_tui.ui.screens.live.chart_data import ChartReading, ChartRequest, read
from handreid_tui.ui.screens.live.log_view import TAIL, LogView
from handreid_tui.ui.screens.live.panels import panels
from handreid_tui.ui.screens.live.run_list import RunList
from handreid_tui.ui.screens.live.sizes import Sizes

if TYPE_CHECKING:
    from handreid_tui.history import RunRow

AXES = {"step": ("step", ticks.short), "epoch": ("epoch", ticks.short), "time": ("time", lambda s, _: ticks.clock(s))}
UNREADABLE = "The run history cannot be read at the moment."
NOTHING = "Nothing has run yet: press 1 to select combinations."


class Live(Page):
    """Follows the runs that are highlighted or chosen in the list."""

    page = "live"
    BINDING_GROUP_TITLE = "Live"
    BINDINGS: ClassVar[list[BindingType]] = named(
        "live",
        [
            Binding("s", "stop", "Stop", tooltip="Stop the run after the current step, with a checkpoint"),
            Binding("r", "resume", "Resume", tooltip="Resume the run from its last checkpoint"),
            Binding("m", "next_view", "Metric", tooltip="Next metric of the focused chart"),
            Binding("x", "next_axis", "Axis", tooltip="Horizontal axis: steps, epochs or training time"),
            Binding("o", "toggle_log", "Log", tooltip="Show or hide the trainer's log"),
            Binding("O", "page_log", "Log in pager", show=False, tooltip="Open the whole log in $PAGER"),
            Binding("C", "charts", "Charts", tooltip="Choose the metrics, one chart each"),
            Binding("w", "columns", "Columns", show=False, tooltip="Columns of the grid of charts"),
            Binding("greater_than_sign", "widen(4)", "Wider list", key_display=">", show=False),
            Binding("less_than_sign", "widen(-4)", "Narrower list", key_display="<", show=False),
            Binding("right_curly_bracket", "heighten(2)", "Taller log", key_display="}", show=False),
            Binding("left_curly_bracket", "heighten(-2)", "Shorter log", key_display="{", show=False),
        ],
    )
    DEFAULT_CSS = """
    Live #headline { height: 1; padding: 0 2; color: $secondary; text-wrap: nowrap; text-overflow: ellipsis; }
    Live #upper { layout: horizontal; height: 1fr; }
    Live RunList { width: 42; height: 1fr; }
    Live #charts { width: 1fr; height: 1fr; grid-size: 2 2; }
    Live LogView { height: 9; }
    Live LogView.hidden { display: none; }
    Live.-normal RunList { width: 38; }
    Live.-narrow #upper { layout: vertical; }
    Live.-narrow RunList { width: 100%; height: 6; }
    Live.-narrow #charts { grid-size: 1 4; grid-rows: 9; overflow-y: auto; scrollbar-size-vertical: 1; }
    Live.-short LogView { display: none; }
    Live.-short LogView.shown { display: block; height: 7; }
    Live.-tiny LogView, Live.-tiny #headline, Live.-tiny RunList { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._actions = RunActions(self)
        self._sizes = Sizes(self)
        self._curves = Curves()
        self._chosen: tuple[str, ...] = ()
        self._known: Latest[tuple[RunRow, ...], list[str]] = Latest(self, self._keys, self._choose, self.show_problem)
        self._reader = Latest[ChartRequest, ChartReading](
            self, lambda request: read(self._curves, request), self._draw, self._cannot
        )
        self._snapshot = Snapshot()
        self._view_at: dict[str, int] = {}
        self._axis = "step"
        self._window: tuple[float, float] | None = None
        self._wanted: int | None = None
        self._log: LogReader | None = None

    def body(self) -> ComposeResult:
        with Vertical():
            yield Static(id="headline", markup=False)
            with Container(id="upper"):
                yield RunList()
                with Grid(id="charts"):
                    yield from self._make_charts()
            yield LogView()

    def _make_charts(self) -> Iterable[Chart]:
        self._chosen = tuple(map(str, self.remembered("view charts", [])))
        for panel in panels(set(), {}, self._chosen):
            text = panel.views[0].text
            yield Chart(panel.title, id=panel.id, log=panel.log, y_text=text, empty="Loading …")

    def on_mount(self) -> None:
        axis = self.remembered("axis", "step")
        self._axis = axis if axis in AXES else "step"
        self._wanted = self.remembered("current", 0)
        self.query_one(LogView).set_class(not self.remembered("log", True), "hidden")
        runs = self.query_one(RunList)
        runs.choose([number for number in self.remembered("chosen", []) if isinstance(number, int)])
        runs.focus()
        self._set_looks()
        self.call_after_refresh(self._sizes.recall)

    def _set_looks(self) -> None:
        for chart in self.query(Chart):
            log = self.remembered(f"log {chart.id}", chart.look.log)
            chart.set_look(replace(chart.look, smoothing=self.remembered("smoothing", 0.0), log=log))
        self._set_axis()

    def on_resize(self) -> None:
        self.call_after_refresh(self._sizes.apply)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._sizes.grab(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        self._sizes.drag(event)

    def on_mouse_up(self) -> None:
        self._sizes.release()

    def open_runs(self, numbers: list[int], seeds: Sequence[int] = ()) -> None:
        """Show these runs: one alone, or several together."""
        self._wanted = numbers[0]
        self.query_one(RunList).choose(numbers if len(numbers) > 1 else [])
        if self._snapshot.loaded:
            self.show_runs(self._snapshot, None)

    # --- news

    def show_runs(self, snapshot: Snapshot, changed: frozenset[int] | None) -> None:
        self._snapshot = snapshot
        runs = self.query_one(RunList)
        wanted = self._wanted
        if wanted in snapshot.runs:  # else it was launched a moment ago: the next news holds it
            self._wanted = None
        runs.show(snapshot, changed, wanted)
        if not snapshot.runs:
            for chart in self.query(Chart):
                chart.set_empty(NOTHING)
                chart.set_lines([])
        elif changed is None or changed & {*runs.shown, runs.current}:
            self._show_headline()
            self._read()

    def show_nothing(self, why: str) -> None:
        for chart in self.query(Chart):
            chart.set_empty(UNREADABLE)  # the line at the top says why

    @on(RunList.Chosen)
    def _other_runs(self) -> None:
        runs = self.query_one(RunList)
        self.remember("chosen", list(runs.chosen))
        self.remember("current", runs.current or 0)
        if selected := self.selected():
            run = selected[0]
            path = run.path / run_files.LOG
            if self._log is None or self._log.path != path:
                self._log = LogReader(path, tail=TAIL)
                self.query_one(LogView).start(f"{run.number} {self._label(run)}")
        self._show_headline()
        self._read()

    def selected(self) -> list[RunRow]:
        """The run that stop, resume and the headline mean."""
        run = self._snapshot.runs.get(self.query_one(RunList).current or 0)
        return [run] if run else []

    def _label(self, run: RunRow) -> str:
        return self.query_one(RunList).labels.get(run.number, run.combo)

    def _show_headline(self) -> None:
        line = self.query_one("#headline", Static)
        if not (runs := self.selected()):
            line.update("")
            return
        mark, style = run_text.sign(runs[0])
        first, *others = run_text.headline(runs[0], self._label(runs[0]))
        parts: list[Any] = [(f"{mark} ", style), (first, "bold $foreground"), "  ", " · ".join(others)]
        if runs[0].reason:
            parts.append((f"  {runs[0].reason}", "$secondary" if runs[0].status == "queued" else "$error"))
        line.update(Content.assemble(*parts))

    # --- curves

    def _read(self) -> None:
        runs = self._snapshot.runs
        shown = tuple(runs[number] for number in self.query_one(RunList).shown if number in runs)
        if shown:
            view_at = dict(self._view_at)
            labels = self.query_one(RunList).labels
            history = self._snapshot.history
            self._reader.ask(
                ChartRequest(history, shown, self._axis, view_at, self._window, self._log, labels, self._chosen)
            )

    def _draw(self, reading: ChartReading) -> None:
        if reading.request.axis != self._axis:
            return  # the axis was changed meanwhile: another reading is on its way
        if reading.request.chosen != self._chosen:
            return
        for chart in self.query(Chart):
            shown = reading.panels[chart.id or ""]
            chart.set_note(shown.place)
            chart.better = shown.view.better
            chart.set_empty(f"No {shown.view.name} yet.")
            if chart.look.y_text is not shown.view.text:
                chart.set_look(replace(chart.look, y_text=shown.view.text))
            chart.set_lines(shown.lines)
        if reading.log and reading.request.log is self._log:
            self.query_one(LogView).add(reading.log)

    def _cannot(self, text: str) -> None:
        for chart in self.query(Chart):
            if not chart.lines:
                chart.set_empty(UNREADABLE)
        self.show_problem(text)

    @on(Chart.LookChanged)
    def _follow(self, event: Chart.LookChanged) -> None:
        """All charts share their horizontal axis: cursor, zoom and smoothing go together."""
        look = event.chart.look
        for chart in self.query(Chart):
            if chart is not event.chart:
                chart.follow(look)
        self.remember("smoothing", look.smoothing)
        self.remember(f"log {event.chart.id}", look.log)
        if look.window != self._window:
            self._window = look.window
            self._read()

    # --- actions

    def action_stop(self) -> None:
        self._actions.stop(self.selected())

    def action_resume(self) -> None:
        self._actions.resume(self.selected())

    def action_next_view(self) -> None:
        chart = self.focused if isinstance(self.focused, Chart) else self.query(Chart).first()
        self._view_at[chart.id or ""] = self._view_at.get(chart.id or "", 0) + 1
        self._read()

    def action_next_axis(self) -> None:
        names = list(AXES)
        self._axis = names[(names.index(self._axis) + 1) % len(names)]
        self.remember("axis", self._axis)
        self._window = None
        self._set_axis()
        self._read()

    def _set_axis(self) -> None:
        name, text = AXES[self._axis]
        for chart in self.query(Chart):
            chart.set_look(replace(chart.look, cursor=None, window=None, x_name=name, x_text=text))

    def action_toggle_log(self) -> None:
        log = self.query_one(LogView)
        visible = log.display
        log.set_class(visible, "hidden")
        log.set_class(not visible, "shown")
        self.remember("log", not visible)

    def action_page_log(self) -> None:
        for run in self.selected():
            try:
                page_file(self.app, run.path / run_files.LOG)
            except UserError as error:
                self.say(str(error), wrong=True)

    def action_widen(self, by: int) -> None:
        self._sizes.widen_list(by)

    def action_heighten(self, by: int) -> None:
        self._sizes.heighten_log(by)

    def action_columns(self) -> None:
        self._sizes.next_columns()

    # --- the set of charts

    def action_charts(self) -> None:
        runs = self._snapshot.runs
        self._known.ask(tuple(runs[number] for number in self.query_one(RunList).shown if number in runs))

    def _keys(self, runs: tuple[RunRow, ...]) -> list[str]:
        return sorted({key for run in runs for key in self._curves.keys(self._snapshot.history, run)})

    def _choose(self, keys: list[str]) -> None:
        names = dict.fromkeys((*self._chosen, *keys), "")

        def answered(chosen: list[str] | None) -> None:
            if chosen is not None and tuple(chosen) != self._chosen:
                self.remember("view charts", chosen)
                self.run_worker(self._rebuild(), exclusive=True)

        title = "Charts (none: the usual four)"
        self.app.push_screen(ChooseMany(title, names, self._chosen, ()), answered)

    async def _rebuild(self) -> None:
        """Make the charts anew, those that are chosen."""
        grid = self.query_one("#charts", Grid)
        await grid.remove_children()
        await grid.mount(*self._make_charts())
        self._set_looks()
        self._sizes.apply()
        self._read()


def make() -> Live:
    return Live()
