"""The list of runs beside the charts: what goes on, what waits, what ended last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from handreid_tui.text import run_text
from handreid_tui.text.numbers import duration, percent
from handreid_tui.text.run_labels import run_labels
from handreid_tui.ui.chart.compose import MARKERS
from handreid_tui.ui.history_feed import Snapshot
from handreid_tui.ui.keymap import named
from handreid_tui.ui.theme import series_colors

if TYPE_CHECKING:
    from handreid_tui.history import RunRow

ENDED_SHOWN = 200


class RunList(OptionList):
    """Highlight a run to see it; space keeps runs in the charts together. `chosen`: those runs, in order."""

    BINDING_GROUP_TITLE = "Runs in the list"
    BINDINGS: ClassVar[list[BindingType]] = named(
        "list",
        [
            Binding("down,j", "cursor_down", "Next", show=False, tooltip="Next run"),
            Binding("up,k", "cursor_up", "Previous", show=False, tooltip="Previous run"),
            Binding("home,g", "first", "First", show=False, tooltip="First run"),
            Binding("end,G", "last", "Last", show=False, tooltip="Last run"),
            Binding("space", "choose", "Overlay", tooltip="Keep this run in the charts for comparison"),
            Binding("escape", "choose_none", "Only this run", show=False, tooltip="Show the highlighted run alone"),
        ],
    )
    DEFAULT_CSS = """
    RunList { border: round $border-blurred; border-title-style: bold; border-title-color: $foreground;
              border-subtitle-color: $secondary; padding: 0; background: $background; scrollbar-size-vertical: 1; }
    RunList:focus { border: round $border; background: $background; background-tint: $background 0%; }
    """

    class Chosen(Message):
        """Other runs are to be shown."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "Runs"
        self.chosen: list[int] = []
        self._runs: Mapping[int, RunRow] = {}
        self._order: list[int] = []
        self._named: list[tuple[int, str]] = []
        self.labels: dict[int, str] = {}
        self._told: tuple[int, ...] = ()

    @property
    def current(self) -> int | None:
        """The number of the highlighted run."""
        at = self.highlighted
        return self._order[at] if at is not None and at < len(self._order) else None

    @property
    def shown(self) -> list[int]:
        """The runs to draw: the chosen ones, or else the highlighted one."""
        chosen = [number for number in self.chosen if number in self._runs]
        return chosen or ([self.current] if self.current is not None else [])

    def show(self, snapshot: Snapshot, changed: Iterable[int] | None, wanted: int | None = None) -> None:
        """Take over the runs; only lines that changed are drawn again. `wanted`: the run to highlight."""
        self._runs = runs = snapshot.runs
        order = _ordered(runs, self.chosen, wanted)
        named = [(n, runs[n].name) for n in order]
        if named != self._named or order != self._order:
            self._named, changed = named, None
            self.labels = run_labels((runs[number] for number in order), snapshot.settings)
        if order != self._order:
            current = wanted if wanted is not None else self.current
            self._order = order
            self.clear_options()
            self.add_options([Option(self._line(runs[number]), id=str(number)) for number in order])
            if order:
                self.highlighted = order.index(current) if current in order else 0
        else:
            for number in changed if changed is not None else order:
                if number in order:
                    self.replace_option_prompt(str(number), self._line(runs[number]))
            if wanted in order:
                self.highlighted = order.index(wanted)
        going = sum(run_text.is_active(run) for run in runs.values())
        waiting = sum(run.status == "queued" for run in runs.values())
        self.border_subtitle = f"{going} running · {waiting} queued" if going or waiting else ""
        self._tell()

    def choose(self, numbers: list[int]) -> None:
        """Show exactly these runs together."""
        self.chosen = numbers
        self._told = ()

    def on_resize(self) -> None:
        self._draw_all()

    def on_option_list_option_highlighted(self) -> None:
        self._tell()

    def action_choose(self) -> None:
        number = self.current
        if number is None:
            return
        if number in self.chosen:
            self.chosen.remove(number)
        else:
            self.chosen.append(number)
        self._draw_all()

    def action_choose_none(self) -> None:
        self.chosen = []
        self._draw_all()

    def _draw_all(self) -> None:
        for number in self._order:
            if number in self._runs:
                self.replace_option_prompt(str(number), self._line(self._runs[number]))
        self._tell()

    def _tell(self) -> None:
        shown = (self.current or 0, *self.shown)
        if shown != self._told:
            self._told = shown
            self.post_message(self.Chosen())

    def _line(self, run: RunRow) -> Content:
        mark, style = run_text.sign(run)
        if run.number in self.chosen:
            slot = self.chosen.index(run.number)
            colors = series_colors(self.app.current_theme.dark)
            lead = (MARKERS[slot % len(MARKERS)], colors[slot % len(colors)])
        else:
            lead = (" ", "")
        digits = len(str(max(self._runs, default=0)))
        width = max(20, self.scrollable_content_region.width - 2)  # less the padding of an option
        result = run_text.status(run)
        if run.metrics["rank1"] is not None:
            result = f"{percent(run.metrics['rank1'])}  {percent(run.metrics['mAP'])}"
        elif run_text.is_active(run):
            left = run_text.seconds_left(run)
            result = f"{duration(left)} left" if left is not None else run.status
        label = self.labels.get(run.number, run.combo)
        room = width - digits - len(result) - 6
        if run.metrics["rank1"] is not None and room < len(label):
            result = percent(run.metrics["rank1"])
            room = width - digits - len(result) - 6
        name = label if len(label) <= room else _shortened(label, run.combo, room)
        gap = " " * max(1, room - len(name) + 1)
        first: list[Any] = [lead, " ", (mark, style), f" {run.number:>{digits}} {name}", gap]
        first.append((result, "$secondary"))
        if run_text.is_active(run):
            tail = f" {run_text.epochs(run):>7}"
            done, rest = run_text.bar(run_text.share_done(run), max(4, width - digits - len(tail) - 5))
            line: list[Any] = [(done, "$primary"), (rest, "$border-blurred"), (tail, "$secondary")]
            return Content.assemble(*first, "\n" + " " * (digits + 5), *line)
        return Content.assemble(*first)


def _shortened(label: str, combo: str, room: int) -> str:
    """The label in less room: the combination gives way first, for what differs is what the list is read for."""
    name, found, rest = label.partition(f"{combo} ")
    least = len(name) + len(rest) + 2
    if not found or room - least < 2:
        return label[: max(1, room - 1)] + "…"
    return f"{name}{combo[: room - least]}… {rest}"


def _ordered(runs: Mapping[int, RunRow], chosen: list[int], wanted: int | None) -> list[int]:
    """Running, then waiting, then the latest that ended; what was asked for is always there."""
    going = [run.number for run in runs.values() if run_text.is_active(run)]
    waiting = [run.number for run in runs.values() if run.status == "queued"]
    others = [n for n, run in runs.items() if not run_text.is_active(run) and run.status != "queued"]
    asked = {number for number in (*chosen, wanted or 0) if number in runs}
    usual = [number for number in others if not runs[number].archived][-ENDED_SHOWN:]
    ended = sorted({*usual, *(asked & set(others))}, reverse=True)
    return [*going, *waiting, *ended]
