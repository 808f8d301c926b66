"""What the four charts of Live show: for each panel its views, a view being some metrics with one unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.contract.metrics import Metric, metrics_of
from handreid_tui.ui.chart import ticks

Text = Callable[[float, float], str]


@dataclass(frozen=True)
class View:
    """Metrics that share an axis: database key to the name in the legend. Several runs show the first metric only."""

    name: str
    metrics: dict[str, str]
    text: Text = ticks.short


@dataclass(frozen=True)
class Panel:
    id: str
    title: str
    views: tuple[View, ...]
    log: bool = False


def _giga(value: float, step: float = 0.0) -> str:
    return ticks.short(value / 1e9, step / 1e9)


def metric_view(*metrics: Metric, name: str = "") -> View:
    """The validation curves of metrics that have one unit."""
    text = ticks.percent if metrics[0].unit == "fraction" else ticks.short
    legends = {metric.curve("validation"): metric.title if metric.unit else metric.about for metric in metrics}
    return View(name or ", ".join(metric.title for metric in metrics), legends, text)


def _validation() -> tuple[View, ...]:
    """The main metrics together, then each but the first, which the first view shows where there are several runs."""
    main = metrics_of("report", 1)
    return metric_view(*main), *(metric_view(metric) for metric in metrics_of("report") if metric is not main[0])


def _geometry() -> tuple[View, ...]:
    distances = [metric for metric in metrics_of("geometry") if metric.unit == "distance"]
    others = [metric for metric in metrics_of("geometry") if metric not in distances]
    return metric_view(*distances, name="distances"), *(metric_view(metric) for metric in others)


VALIDATION = Panel("validation", "Validation, %", _validation())
GEOMETRY = Panel("geometry", "Geometry", _geometry())
SPEED = Panel(
    "speed",
    "Speed",
    (
        View("images/s", {"images_per_s": "images/s"}),
        View("GPU", {"system/gpu_util": "GPU busy, %"}, ticks.percent),
        View("GPU memory", {"system/gpu_memory": "GPU memory, GB"}, _giga),
        View("GPU power", {"system/gpu_power": "GPU power, W"}),
        View("CPU", {"system/cpu": "CPU, %"}, ticks.percent),
        View("memory", {"system/rss": "memory of the trainer, GB"}, _giga),
        View("seconds an epoch", {"epoch/seconds": "seconds an epoch"}),
    ),
)


def loss_panel(keys: set[str]) -> Panel:
    """The loss panel of runs that have these metrics: the total with all terms, each term and what it watches, the
    learning rate.
    """
    terms = {key: key.removeprefix("term/") for key in sorted(keys) if key.startswith("term/")}
    together = View(
        "total and terms", {"total": "total"} | {key: name for key, name in terms.items() if "/" not in name}
    )
    each = tuple(View(name, {key: name}) for key, name in terms.items())
    return Panel("loss", "Loss", (together, *each, View("learning rate", {"lr": "learning rate"})), log=True)


def usable(panel: Panel, keys: set[str]) -> tuple[View, ...]:
    """The views that have a metric among `keys`; the first view where none has."""
    found = tuple(view for view in panel.views if view.metrics.keys() & keys)
    return found or panel.views[:1]
