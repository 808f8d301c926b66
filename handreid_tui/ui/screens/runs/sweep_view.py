"""`enter` on a sweep: its trials, and each varied setting against the validation mAP."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Static

from handreid_tui.text.numbers import percent
from handreid_tui.text.run_labels import short_key, show
from handreid_tui.ui.background import Latest
from handreid_tui.ui.chart import ticks
from handreid_tui.ui.chart.compose import Line
from handreid_tui.ui.chart.widget import Chart
from handreid_tui.ui.key_bar import KeyBar
from handreid_tui.ui.keymap import named
from handreid_tui.ui.table import Cell, Column, RowTable

COLUMNS = (
    Column("trial", "trial", 8),
    Column("value", "val mAP", 8, True),
    Column("settings", "settings", 30, rest=True),
)
EMPTY = "No result yet: a trial counts as soon as every combination has finished as many."


@dataclass(frozen=True)
class Setting:
    """A varied setting of a combination. log: its range is even in the logarithm. values: by trial, with its result."""

    combo: str
    key: str
    log: bool
    points: tuple[tuple[int, Any, float], ...]


@dataclass(frozen=True)
class SweepReading:
    """What a sweep's view shows. trials: by combination, each trial's values, and its validation mAP or None."""

    line: str
    settings: tuple[Setting, ...]
    trials: Mapping[str, tuple[tuple[Mapping[str, Any], float | None], ...]]
    chosen: Mapping[str, int]


def read_sweep(runs: Path, number: int) -> SweepReading:
    """Read a sweep from its files. Raises UserError where it cannot be read."""
    from handreid_tui.sweeps.status import read_status

    status = read_status(runs, number)
    plan = status.plan
    settings, trials, chosen = [], {}, {}
    for combo in plan.combos:
        values = status.values(combo)
        points = [plan.points[combo][trial] for trial in range(len(values))]
        trials[combo] = tuple(zip(points, values, strict=True))
        for one in plan.spaces[combo]:
            known = tuple(
                (trial, point[one.key], value)
                for trial, (point, value) in enumerate(trials[combo])
                if value is not None and one.key in point
            )
            settings.append(Setting(combo, one.key, one.log, known))
        if choice := status.choice(combo):
            chosen[combo] = choice.trial
    counts = ", ".join(f"{count} {state}" for state, count in sorted(status.counts.items()))
    line = f"Sweep @{number} · {status.phase} · {counts} of up to {plan.trainings}"
    return SweepReading(line, tuple(settings), trials, chosen)


class SweepView(ModalScreen[str]):
    """Returns a filter to show the sweep's runs with, "" for none."""

    BINDING_GROUP_TITLE = "Sweep"
    BINDINGS: ClassVar[list[BindingType]] = named(
        "sweep",
        [
            Binding("escape,q", "close", "Close", key_display="esc"),
            Binding("m,right_square_bracket", "setting(1)", "Setting", key_display="m", tooltip="Next setting"),
            Binding("M,left_square_bracket", "setting(-1)", "Previous setting", show=False, tooltip="Previous setting"),
            Binding("f,enter", "runs", "Runs", key_display="f", tooltip="Show the sweep's runs in the table"),
            Binding("question_mark", "app.help", "Help", show=False),
        ],
    )
    DEFAULT_CSS = """
    SweepView { background: $background; }
    SweepView #line { height: 1; padding: 0 2; text-style: bold; }
    SweepView Chart { height: 1fr; }
    SweepView RowTable { height: 1fr; }
    """

    def __init__(self, runs: Path, number: int) -> None:
        super().__init__()
        self._number, self._at = number, 0
        self._reading: SweepReading | None = None
        self._ranked: dict[int, tuple[str, Mapping[str, Any], float | None]] = {}
        self._reader: Latest[int, SweepReading] = Latest(
            self, lambda number: read_sweep(runs, number), self._take, self._cannot
        )

    def compose(self) -> ComposeResult:
        yield Static("Loading …", id="line", markup=False)
        yield Chart("Validation mAP, %", y_text=ticks.percent, empty=EMPTY)
        yield RowTable[int](COLUMNS, self._cells, title="Trials, best first", empty=EMPTY)
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(RowTable).focus()
        self._reader.ask(self._number)
        self.set_interval(3.0, lambda: self._reader.ask(self._number))

    def _cannot(self, text: str) -> None:
        self.query_one("#line", Static).update(text)

    def _take(self, reading: SweepReading) -> None:
        self._reading = reading
        self.query_one("#line", Static).update(reading.line)
        self._draw()

    def _draw(self) -> None:
        reading = self._reading
        if reading is None or not reading.settings:
            return
        setting = reading.settings[self._at % len(reading.settings)]
        chart, table = self.query_one(Chart), self.query_one(RowTable)
        lines, text = scatter(setting, reading.chosen.get(setting.combo))
        chart.border_title = f"{setting.combo}: validation mAP, %, by {short_key(setting.key, ())}"
        chart.set_note(f"{self._at % len(reading.settings) + 1} of {len(reading.settings)}")
        chart.set_look(replace(chart.look, x_name=short_key(setting.key, ()), x_text=text))
        chart.set_lines(lines)
        trials = reading.trials[setting.combo]
        order = sorted(range(len(trials)), key=lambda n: -(v if (v := trials[n][1]) is not None else -1.0))
        chosen = reading.chosen.get(setting.combo)
        names = {n: f"{'* ' if n == chosen else ''}{'recipe' if n == 0 else n}" for n in order}
        self._ranked = {n: (names[n], *trials[n]) for n in order}
        table.border_title = f"Trials of {setting.combo}, best first"
        table.show(order)

    def _cells(self, trial: int) -> tuple[Cell, ...]:
        name, values, reached = self._ranked[trial]
        settings = "   ".join(f"{short_key(key, ())} {show(value)}" for key, value in values.items())
        return (name, "bold" if name.startswith("*") else ""), percent(reached) if reached is not None else "", settings

    def action_setting(self, step: int) -> None:
        self._at += step
        self._draw()

    def action_runs(self) -> None:
        self.dismiss(f"sweep:{self._number}")

    def action_close(self) -> None:
        self.dismiss("")


def scatter(setting: Setting, chosen: int | None) -> tuple[list[Line], Any]:
    """The trials as dots: value against validation mAP, the recipe and the chosen trial apart; and the text of an x."""
    words = sorted({str(value) for _, value, _ in setting.points if not _is_number(value)})
    place = {word: float(n) for n, word in enumerate(words, int(1 + max(_numbers(setting), default=-1.0)))}

    def x_of(value: Any) -> float:
        if not _is_number(value):
            return place[str(value)]
        return math.log10(value) if setting.log and value > 0 else float(value)

    def text(x: float, step: float = 0.0) -> str:
        word = next((word for word, at in place.items() if abs(at - x) < 1e-9), "")
        return word or (f"{10**x:.3g}" if setting.log else ticks.short(x, step))

    groups: dict[str, list[tuple[float, float]]] = {"trials": [], "recipe": [], "chosen": []}
    for trial, value, reached in setting.points:
        name = "chosen" if trial == chosen else "recipe" if trial == 0 else "trials"
        groups[name].append((x_of(value), reached))
    return [_dots(name, points, slot) for slot, (name, points) in enumerate(groups.items()) if points], text


def _dots(name: str, points: list[tuple[float, float]], slot: int) -> Line:
    """A line whose points are not joined: a gap follows each."""
    points = sorted(points)
    x = np.repeat([each for each, _ in points], 2)
    y = np.column_stack([[each for _, each in points], np.full(len(points), np.nan)]).ravel()
    return Line(name, x, y, slot, scattered=True)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(setting: Setting) -> list[float]:
    return [float(value) for _, value, _ in setting.points if _is_number(value)]
