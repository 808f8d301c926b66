"""What the charts of Live show: for each panel its views, a view being some metrics with one unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from engine.contract.metrics import Metric, metrics_of
from handreid_tui.text.run_labels import show
from handreid_tui.ui.chart import ticks

Text = Callable[[float, float], str]


@dataclass(frozen=True)
class ChartView:
    """Metrics that share an axis: database key to the name in the legend. Several runs show the first metric only.

    better: 1 where the largest value is the best, -1 where the smallest is. A key `weighted/<term>` is a term times its
    weight.
    """

    name: str
    metrics: dict[str, str]
    text: Text = ticks.short
    better: int = 1


@dataclass(frozen=True)
class Panel:
    id: str
    title: str
    views: tuple[ChartView, ...]
    log: bool = False


def _giga(value: float, step: float = 0.0) -> str:
    return ticks.short(value / 1e9, step / 1e9)


def metric_view(*metrics: Metric, name: str = "") -> ChartView:
    """The validation curves of metrics that have one unit."""
    text = ticks.percent if metrics[0].unit == "fraction" else ticks.short
    legends = {metric.curve("validation"): metric.title if metric.unit else metric.about for metric in metrics}
    return ChartView(name or ", ".join(metric.title for metric in metrics), legends, text, sign(metrics[0]))


def sign(metric: Metric) -> int:
    """-1 where the smallest value of a metric is the best, else 1."""
    return -1 if metric.better == "lower" else 1


def _validation() -> tuple[ChartView, ...]:
    """The main metrics together, then each but the first, which the first view shows where there are several runs."""
    main = metrics_of("report", 1)
    return metric_view(*main), *(metric_view(metric) for metric in metrics_of("report") if metric is not main[0])


def _geometry() -> tuple[ChartView, ...]:
    distances = [metric for metric in metrics_of("geometry") if metric.unit == "distance"]
    others = [metric for metric in metrics_of("geometry") if metric not in distances]
    return metric_view(*distances, name="distances"), *(metric_view(metric) for metric in others)


VALIDATION = Panel("validation", "Validation, %", _validation())
GEOMETRY = Panel("geometry", "Geometry", _geometry())
SPEED = Panel(
    "speed",
    "Speed",
    (
        ChartView("images/s", {"images_per_s": "images/s"}),
        ChartView("GPU", {"system/gpu_util": "GPU busy, %"}, ticks.percent),
        ChartView("GPU memory", {"system/gpu_memory": "GPU memory, GB"}, _giga),
        ChartView("GPU power", {"system/gpu_power": "GPU power, W"}),
        ChartView("CPU", {"system/cpu": "CPU, %"}, ticks.percent),
        ChartView("memory", {"system/rss": "memory of the trainer, GB"}, _giga),
        ChartView("seconds an epoch", {"epoch/seconds": "seconds an epoch"}),
    ),
)


PROMPTS = "prompts/"
PROMPT_LOSSES = {f"{PROMPTS}total": "total", f"{PROMPTS}i2t": "i2t", f"{PROMPTS}t2i": "t2i"}
WEIGHTED = "weighted/"
TERM = "term/"


def loss_panel(keys: set[str], weights: Mapping[str, float] | None = None) -> Panel:
    """The loss panel of runs that have these metrics: the total with its terms, each term and what it
    watches, the learning rate.

    weights: of the terms. The weighted terms add up to the total.
    """
    weights = weights or {}
    names = {key: key.removeprefix(TERM) for key in sorted(keys) if key.startswith(TERM)}
    terms = {key: name for key, name in names.items() if "/" not in name}
    watched = {key: name for key, name in names.items() if "/" in name}
    weighted = {f"{WEIGHTED}{name}": _weighted(name, weights.get(name, 1.0)) for name in terms.values()}
    views = (
        ChartView("total and weighted terms", {"total": "total"} | weighted, better=-1),
        ChartView("unweighted terms", terms, better=-1),
        *(ChartView(f"{name}, unweighted", {key: name}, better=-1) for key, name in terms.items()),
        *(ChartView(name.replace("/", ": "), {key: name}) for key, name in watched.items()),
        ChartView("learning rate", {"lr": "learning rate"}),
        ChartView("first stage: prompts", PROMPT_LOSSES, better=-1),
        ChartView("first stage: learning rate", {f"{PROMPTS}lr": "learning rate"}),
    )
    return Panel("loss", "Loss", views, log=True)


def _weighted(name: str, weight: float) -> str:
    return name if weight == 1.0 else f"{name} ×{show(float(weight))}"


def usable(panel: Panel, keys: set[str]) -> tuple[ChartView, ...]:
    """The views that have a metric among `keys`; the first view where none has."""
    found = tuple(view for view in panel.views if {key.replace(WEIGHTED, TERM) for key in view.metrics} & keys)
    return found or panel.views[:1]


def panels(keys: set[str], weights: Mapping[str, float], chosen: Sequence[str] = ()) -> tuple[Panel, ...]:
    """The panels of a page: the usual four, or one for each chosen metric."""
    if not chosen:
        return loss_panel(keys, weights), VALIDATION, GEOMETRY, SPEED
    return tuple(Panel(f"chart-{place}", *_of_key(key)) for place, key in enumerate(chosen))


def _of_key(key: str) -> tuple[str, tuple[ChartView, ...], bool]:
    """The title of a metric's own panel, its view, and whether its axis is logarithmic."""
    if key == "total" or key.startswith(TERM):
        name = "loss" if key == "total" else key.removeprefix(TERM)
        return name, (ChartView(name, {key: name}, better=-1),), "/" not in name
    if key.startswith(PROMPTS):
        name = key.replace("/", ": ")
        return name, (ChartView(name, {key: name}, better=-1),), not key.endswith("lr")
    for view in (view for panel in (loss_panel(set()), VALIDATION, GEOMETRY, SPEED) for view in panel.views):
        if key in view.metrics:
            percents = ", %" if view.text is ticks.percent and "%" not in view.metrics[key] else ""
            return f"{view.metrics[key]}{percents}", (replace(view, metrics={key: view.metrics[key]}),), False
    return key, (ChartView(key, {key: key}),), False
