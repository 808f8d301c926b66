"""Compare: the table of `handreid compare` with its statistics, and the curves of its rows together."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from engine.contract.errors import UserError
from engine.data.wording import count
from handreid_tui.text.streams import readable
from handreid_tui.ui.background import Latest
from handreid_tui.ui.chart.widget import Chart
from handreid_tui.ui.dialogs import Prompt
from handreid_tui.ui.history_feed import Snapshot
from handreid_tui.ui.keymap import named
from handreid_tui.ui.page import Page
from handreid_tui.ui.screens.compare.comparison_data import (
    VIEWS,
    ComparisonReader,
    ComparisonReading,
    ComparisonRequest,
)
from handreid_tui.ui.screens.compare.missing_seeds import missing_seeds
from handreid_tui.ui.undimmed import Undimmed

if TYPE_CHECKING:
    from handreid_tui.compare.formats import Format

SUFFIXES: dict[str, Format] = {".md": "markdown", ".tex": "latex", ".csv": "csv", ".json": "json"}


class Tables(VerticalScroll):
    """The tables, to scroll."""

    BINDING_GROUP_TITLE = "Tables"
    BINDINGS: ClassVar[list[BindingType]] = named(
        "tables",
        [
            Binding("down,j", "scroll_down", "Down", show=False),
            Binding("up,k", "scroll_up", "Up", show=False),
            Binding("home,g", "scroll_home", "Start", show=False),
            Binding("end,G", "scroll_end", "End", show=False),
        ],
    )
    DEFAULT_CSS = """
    Tables { border: round $border-blurred; border-title-style: bold; border-title-color: $foreground;
             border-subtitle-color: $secondary; padding: 0 1; height: 3fr; scrollbar-size-vertical: 1; }
    Tables:focus { border: round $border; }
    Tables Static { height: auto; }
    """


class Compare(Page):
    """Combinations over their seeds, or marked runs, side by side."""

    page = "compare"
    BINDING_GROUP_TITLE = "Compare"
    BINDINGS: ClassVar[list[BindingType]] = named(
        "compare",
        [
            Binding("b", "by", "By", tooltip="All runs by combination, or the marked runs, by run or by combination"),
            Binding("p", "protocol", "Protocol", tooltip="Next protocol"),
            Binding("B", "baseline", "Baseline", tooltip="Next baseline"),
            Binding("c", "claims", "Claims", tooltip="Test the claims about each loss"),
            Binding("u", "published", "Published", tooltip="Published results of the same protocol"),
            Binding(
                "T",
                "train",
                "Train seeds",
                tooltip="Launch the missing seeds, so that each row has at least three",
            ),
            Binding("m", "next_view", "Metric", tooltip="Next metric of the chart"),
            Binding("y", "copy", "Copy", tooltip="Copy as Markdown"),
            Binding("x", "export", "Export", tooltip="Save as Markdown, LaTeX, CSV or JSON"),
        ],
    )
    DEFAULT_CSS = """
    Compare Chart { height: 2fr; }
    Compare.-short Chart, Compare.-narrow Chart { height: 1fr; min-height: 7; }
    Compare.-tiny Chart { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._snapshot = Snapshot()
        reader = ComparisonReader()
        self._reader: Latest[ComparisonRequest, ComparisonReading] = Latest(self, reader.read, self._draw, self._cannot)
        self._last: ComparisonReading | None = None
        self._by = ("combo", False)
        self._baseline = "ce"
        self._claims = self._published = False
        self._show_end = False
        self._section = self._view = 0
        self._finished: frozenset[Any] | None = None

    def body(self) -> ComposeResult:
        with Tables() as tables:
            tables.border_title = "Comparison"
            yield Static("Loading …")
        yield Chart("Curves", y_text=VIEWS[0].text, empty="No curves yet.")

    def on_mount(self) -> None:
        self._claims, self._published = self.remembered("claims", False), self.remembered("published", False)
        self._baseline, self._view = self.remembered("baseline", "ce"), self.remembered("view", 0)
        self.query_one(Tables).focus()

    def open_runs(self, numbers: list[int], seeds: Sequence[int] = ()) -> None:
        """Compare these runs, one by one."""
        self.remember("marked", numbers)
        self._by = ("run", True)
        self._ask()

    @property
    def _marked(self) -> tuple[int, ...]:
        return tuple(number for number in self.remembered("marked", []) if isinstance(number, int))

    def show_runs(self, snapshot: Snapshot, changed: frozenset[int] | None) -> None:
        self._snapshot = snapshot
        finished = frozenset(
            (n, run.name, run.archived) for n, run in snapshot.runs.items() if run.status == "finished"
        )
        if finished != self._finished:
            self._finished = finished
            self._ask()

    def show_nothing(self, why: str) -> None:
        self.query_one(Tables).query_one(Static).update(Content(why))
        self.query_one(Chart).set_empty("")

    def _ask(self) -> None:
        if not self._snapshot.loaded:
            return
        by, marked_only = self._by
        numbers = self._marked if marked_only else ()
        self.query_one(Tables).border_subtitle = "computing …"
        self._reader.ask(
            ComparisonRequest(
                self._snapshot.history,
                self._snapshot.runs,
                numbers,
                by,
                self._baseline,
                self._claims,
                self._published,
                self._section,
                self._view,
            )
        )

    def _draw(self, reading: ComparisonReading) -> None:
        from handreid_tui.compare import render

        self._last = reading
        sections = reading.comparison.sections
        shown = replace(reading.comparison, sections=(sections[reading.section],))
        tables = self.query_one(Tables)
        tables.query_one(Static).update(Undimmed(render(shown), lambda: self.app.theme_variables["secondary"]))
        which = f"protocol {reading.section + 1} of {len(sections)}"
        of = "marked runs" if reading.request.numbers else "all runs"
        tables.border_title = f"Comparison of {of}, by {'combination' if reading.request.by == 'combo' else 'run'}"
        baselines = [row.label for row in sections[reading.section].table.rows if row.baseline]
        tables.border_subtitle = Content(f"{which} · baseline {', '.join(baselines) or 'none'}")
        if self._show_end:
            self._show_end = False
            tables.call_after_refresh(tables.scroll_end, animate=False)
        view = VIEWS[reading.request.view % len(VIEWS)]
        chart = self.query_one(Chart)
        chart.border_title = f"{view.name[0].upper()}{view.name[1:]}, mean over seeds"
        chart.set_empty(f"No {view.name} of these runs.")
        chart.set_look(replace(chart.look, y_text=view.text, log=chart.look.log and view.name == "loss"))
        chart.better = view.better
        chart.set_lines(reading.lines)

    def _cannot(self, text: str) -> None:
        self._last = None
        tables = self.query_one(Tables)
        tables.border_subtitle = ""
        tables.query_one(Static).update(Content(f"{text}\n\nPress 1 to launch runs, 3 to mark others."))
        self.query_one(Chart).set_lines([])

    # --- actions

    def action_by(self) -> None:
        ways = [("combo", False), *([("run", True), ("combo", True)] if self._marked else [("run", False)])]
        self._by = ways[(ways.index(self._by) + 1) % len(ways)] if self._by in ways else ways[0]
        self._ask()

    def action_protocol(self) -> None:
        self._section += 1
        self._ask()

    def action_baseline(self) -> None:
        if self._last:
            rows = [row for row in self._last.comparison.sections[self._last.section].table.rows if row.runs]
            labels = [row.label for row in rows]
            if labels:
                at = next((n for n, row in enumerate(rows) if row.baseline), -1)
                self._baseline = labels[(at + 1) % len(labels)]
                self.remember("baseline", self._baseline)
                self._ask()

    def action_train(self) -> None:
        """Open Launch with the combinations and the seeds that this table lacks."""
        if self._last is None:
            return
        rows = self._last.comparison.sections[self._last.section].table.rows
        missing = missing_seeds(run for row in rows for run in row.runs)
        if missing is None:
            self.say("All rows have the same seeds, three or more.")
            return
        if missing.left:
            self.say(f"{count(missing.left, 'other row')} with other missing seeds: press T again afterwards.")
        self.handreid.open_page("launch", list(missing.numbers), missing.seeds)

    def action_claims(self) -> None:
        self._claims = self._show_end = not self._claims
        self.remember("claims", self._claims)
        self._ask()

    def action_published(self) -> None:
        self._published = self._show_end = not self._published
        self.remember("published", self._published)
        self._ask()

    def action_next_view(self) -> None:
        self._view = (self._view + 1) % len(VIEWS)
        self.remember("view", self._view)
        self._ask()

    def action_copy(self) -> None:
        if self._last:
            from handreid_tui.compare import render

            self.app.copy_to_clipboard(str(render(self._last.comparison, "markdown")))
            self.say("Copied as Markdown.")

    def action_export(self) -> None:
        if not self._last:
            return
        comparison = self._last.comparison

        def check(text: str) -> None:
            if Path(text).suffix not in SUFFIXES:
                raise UserError(f"The name must end in one of {', '.join(SUFFIXES)}.")

        def write(path: Path) -> str:
            from handreid_tui.compare import render

            path = unused(path)
            try:
                path.write_text(readable(str(render(comparison, SUFFIXES[path.suffix]))), encoding="utf-8")
            except OSError as error:
                raise UserError(f"{path} cannot be written: {os.strerror(error.errno or 0)}.") from None
            return f"Saved {path}."

        def answered(text: str | None) -> None:
            if text:
                path = Path(text).expanduser()
                job: Latest[Path, str] = Latest(self, write, self.say, lambda reason: self.say(reason, wrong=True))
                job.ask(path)

        hint = "ends in .md, .tex, .csv or .json; existing files are not overwritten"
        self.app.push_screen(Prompt("Save the comparison as", "comparison.md", hint, check), answered)


def unused(path: Path) -> Path:
    """The path, or where something stands there the next one that is free: `x-2.md`."""
    others = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2))
    return next(free for free in itertools.chain([path], others) if not os.path.lexists(free))


def make() -> Compare:
    return Compare()
