"""From the history to the lines of the charts of Live. No widget: called in a thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from handreid_tui.runs.log_text import LogReader
from handreid_tui.ui.chart.compose import Line
from handreid_tui.ui.chart.curves import Curves, Points
from handreid_tui.ui.screens.live.panels import (
    PROMPTS,
    TERM,
    WEIGHTED,
    ChartView,
    panels,
    usable,
)

if TYPE_CHECKING:
    from handreid_tui.history import RunRow


@dataclass(frozen=True)
class ChartRequest:
    """What to read. `view_at`: for a panel, how many views further than its first. `window`: in steps, if zoomed.

    labels: what to call each run. chosen: the metrics to show, the usual four panels where empty.
    """

    history: Any
    runs: tuple[RunRow, ...]
    axis: str = "step"
    view_at: Mapping[str, int] = field(default_factory=dict)
    window: tuple[float, float] | None = None
    log: LogReader | None = None
    labels: Mapping[int, str] = field(default_factory=dict)
    chosen: tuple[str, ...] = ()


@dataclass(frozen=True)
class PanelData:
    """What a panel is to show: the view, its number among how many, and its lines."""

    view: ChartView
    place: str
    lines: list[Line]


@dataclass(frozen=True)
class ChartReading:
    request: ChartRequest
    panels: dict[str, PanelData]
    log: list[str]


def read(curves: Curves, request: ChartRequest) -> ChartReading:
    """Read the curves that `request` asks for. Raises UserError where the history cannot be read."""
    keys = {key for run in request.runs for key in curves.keys(request.history, run)}
    shown = {}
    weights = [curves.weights(request.history, run) for run in request.runs]
    for panel in panels(keys, weights[0] if weights else {}, request.chosen):
        views = usable(panel, keys)
        at = request.view_at.get(panel.id, 0) % len(views)
        name = next(iter(views[at].metrics.values())) if len(request.runs) > 1 else views[at].name
        place = f"{name} ({at + 1}/{len(views)})" if len(views) > 1 else ""
        shown[panel.id] = PanelData(views[at], place, _lines(curves, request, views[at]))
    return ChartReading(request, shown, request.log.read() if request.log else [])


def _lines(curves: Curves, request: ChartRequest, view: ChartView) -> list[Line]:
    lines = []
    several = len(request.runs) > 1
    for slot, run in enumerate(request.runs):
        wanted = list(view.metrics)[:1] if several else list(view.metrics)
        found = _read(curves, request, run, wanted)
        if request.window and request.axis == "step":
            found = {key: _closer(curves, request, run, key, points) for key, points in found.items()}
        seconds = _seconds(curves, request, run) if request.axis == "time" else None
        for n, (key, (steps, values)) in enumerate(found.items()):
            x = steps
            if key.startswith(PROMPTS):
                x = steps * _per_prompt_step(request.axis, run)
            elif request.axis == "epoch" and run.steps and run.epochs:
                x = steps * (run.epochs / run.steps)
            elif seconds is not None:
                x = np.interp(steps, *seconds)
            name = f"{run.number} {request.labels.get(run.number, run.combo)}" if several else view.metrics[key]
            lines.append(Line(name, x, values, slot if several else n))
    return lines


def _per_prompt_step(axis: str, run: RunRow) -> float:
    """What a step of the first stage, which counts its own, takes on the axis: steps, epochs or seconds."""
    if axis == "epoch" and run.prompt_epochs and run.prompt_steps:
        return run.prompt_epochs / run.prompt_steps
    if axis == "time" and run.prompt_seconds and run.prompt_step:
        return run.prompt_seconds / run.prompt_step
    return 1.0


def _read(curves: Curves, request: ChartRequest, run: RunRow, wanted: list[str]) -> dict[str, Points]:
    """The curves of these keys; `weighted/<term>` is `term/<term>` times the weight of the term."""
    source = {key: key.replace(WEIGHTED, TERM) for key in wanted}
    found = curves.read(request.history, run, list(source.values()))
    weights = curves.weights(request.history, run)
    read = {}
    for key, stored in source.items():
        if stored in found:
            steps, values = found[stored]
            weight = 1.0 if key == stored else weights.get(stored.removeprefix(TERM), 1.0)
            read[key] = steps, values * weight
    return read


def _closer(curves: Curves, request: ChartRequest, run: RunRow, key: str, points: Points) -> Points:
    """The same curve, with more points inside the window where it was thinned."""
    assert request.window
    x0, x1 = request.window
    if len(points[0]) < 2048:
        return points
    steps, values = curves.close_up(request.history, run, key.replace(WEIGHTED, TERM), x0, x1)
    if key.startswith(WEIGHTED):
        values = values * curves.weights(request.history, run).get(key.removeprefix(WEIGHTED), 1.0)
    before, after = points[0] < x0 - 1, points[0] > x1 + 1
    inside = (steps >= x0 - 1) & (steps <= x1 + 1)
    x = np.concatenate([points[0][before], steps[inside], points[0][after]])
    return x, np.concatenate([points[1][before], values[inside], points[1][after]])


def _seconds(curves: Curves, request: ChartRequest, run: RunRow) -> Points | None:
    """Training time at steps, from the seconds of each epoch; beyond the last epoch at the pace so far."""
    found = curves.read(request.history, run, ["epoch/seconds"]).get("epoch/seconds")
    if found is None:
        return None
    steps = np.append(0.0, found[0])
    seconds = np.append(0.0, np.nancumsum(found[1]))
    last = float(run.step or 0)
    if last > steps[-1] > 0:
        steps, seconds = np.append(steps, last), np.append(seconds, seconds[-1] * last / steps[-1])
    return steps, seconds
