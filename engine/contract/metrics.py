"""Every metric of a run, declared once: database columns, filter, tables, charts and docs are made from METRICS.

To add one: compute it in `engine/evaluation/ranking.py`, `geometry.py` or `engine/search/open_set.py`, and declare it
here. No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

Stage = Literal["training", "pixels", "before", "validation", "final"]
Group = Literal["training", "report", "geometry"]
Unit = Literal["fraction", "distance", "ratio", "degrees", "images/s", ""]

REPORT: tuple[Stage, ...] = ("pixels", "before", "validation", "final")
EMBEDDING: tuple[Stage, ...] = ("validation", "final")
STAGES: dict[Stage, str] = {
    "training": "each training step",
    "pixels": "the test images as raw pixels, before training",
    "before": "the test images, before training",
    "validation": "the validation images, after an epoch",
    "final": "the test images, with the best model",
}

# What stands before the key in the name of a curve, and in the name of a column
_CURVES: dict[Stage, str] = {"pixels": "pixels/", "before": "before/", "validation": "val/", "final": "test/"}
_COLUMNS: dict[Stage, str] = {"pixels": "pixels_", "before": "before_", "validation": "val_", "final": ""}


@dataclass(frozen=True)
class Metric:
    """A metric. `better` is None where neither way is; a fraction is shown in percent.

    importance: 1 in every list, 2 in tables of runs, 3 in comparisons, 4 in full reports only.
    """

    key: str
    title: str
    about: str
    better: Literal["higher", "lower"] | None
    unit: Unit
    group: Group
    stages: tuple[Stage, ...]
    importance: int = 4

    def curve(self, stage: Stage) -> str:
        """The name of its curve in the history: `val/mAP`, `test/geometry/intra`, `total`."""
        if self.group == "training":
            return self.key
        if self.group == "geometry":
            return f"{'test/' if stage == 'final' else ''}geometry/{self.key}"
        return _CURVES[stage] + self.key

    def column(self, stage: Stage) -> str:
        """The name of its column in the table of runs: `val_mAP`, `test_geometry_intra`, `mAP`."""
        return _COLUMNS[stage] + self.key if self.group == "report" else self.curve(stage).replace("/", "_")


METRICS = (
    Metric("total", "loss", "weighted sum of the loss terms", "lower", "", "training", ("training",), 2),
    Metric("images_per_s", "images/s", "training speed", "higher", "images/s", "training", ("training",)),
    Metric("rank1", "rank-1", "queries whose nearest image is a match", "higher", "fraction", "report", REPORT, 1),
    Metric("rank5", "rank-5", "queries with a match among the nearest 5", "higher", "fraction", "report", REPORT, 2),
    Metric("rank10", "rank-10", "queries with a match among the nearest 10", "higher", "fraction", "report", REPORT, 3),
    Metric("mAP", "mAP", "mean average precision", "higher", "fraction", "report", REPORT, 1),
    Metric("mAP_trapezoid", "mAP, trapezoid", "mAP by the trapezoidal rule", "higher", "fraction", "report", REPORT),
    Metric("mINP", "mINP", "mean inverse negative penalty", "higher", "fraction", "report", REPORT, 2),
    Metric("eer", "EER", "equal error rate of verification", "lower", "fraction", "report", REPORT, 2),
    Metric("auc", "AUC", "area under the ROC curve of verification", "higher", "fraction", "report", REPORT),
    Metric("tar_at_far_1e3", "TAR @ FAR 0.1%", "true accept rate at this false accept rate", "higher", "fraction",
           "report", REPORT),
    Metric("fnir_at_fpir_1e1", "FNIR (FPIR 0.1)", "enrolled people missed, with false candidates in 10 % of searches",
           "lower", "fraction", "report", REPORT, 2),
    Metric("fnir_at_fpir_1e2", "FNIR (FPIR 0.01)", "enrolled people missed, with false candidates in 1 % of searches",
           "lower", "fraction", "report", REPORT, 3),
    Metric("intra", "within", "distance to the mean of the identity", "lower", "distance", "geometry", EMBEDDING),
    Metric("inter", "between", "distance between means of identities", "higher", "distance", "geometry", EMBEDDING),
    Metric("ratio", "within / between", "intra / inter", "lower", "ratio", "geometry", EMBEDDING),
    Metric("hard_gap", "hardest gap", "hardest positive - hardest negative", "lower", "", "geometry", EMBEDDING),
    Metric("angle", "angle", "angle to the mean of the identity", "lower", "degrees", "geometry", EMBEDDING),
)  # fmt: skip

SELECTED_BY = "mAP"  # the best model of a run is that of the best validation by this metric


@dataclass(frozen=True)
class MetricColumn:
    """A column of the table of runs: the last value of a curve, or the best one."""

    name: str
    title: str
    metric: Metric
    curve: str
    part: Literal["last", "max", "min"] = "last"


@cache
def metric_columns() -> dict[str, MetricColumn]:
    """The metrics that a run's row holds, by name: the last of each metric, and the best mAP of the validation.

    Of the stages before the final one, reports keep the metrics of importance 1 only.
    """
    found = []
    for metric in METRICS:
        for stage in metric.stages:
            if metric.group == "report" and stage != "final" and metric.importance > 1:
                continue
            prefix = {"pixels": "pixels ", "before": "before ", "validation": "val "}.get(stage, "")
            title = prefix + metric.title if metric.group == "report" else metric.title
            found.append(MetricColumn(metric.column(stage), title, metric, metric.curve(stage)))
            if stage == "validation" and metric.key == SELECTED_BY:
                part: Literal["max", "min"] = "min" if metric.better == "lower" else "max"
                found.append(MetricColumn(f"best_{found[-1].name}", f"best {title}", metric, found[-1].curve, part))
    return {column.name: column for column in found}


@cache
def fractions() -> frozenset[str]:
    """The names of columns and curves whose values are fractions, shown in percent."""
    columns = {name for name, column in metric_columns().items() if column.metric.unit == "fraction"}
    curves = {metric.curve(stage) for metric in METRICS if metric.unit == "fraction" for stage in metric.stages}
    return frozenset(columns | curves)


@cache
def metrics_of(group: Group, importance: int = 4) -> tuple[Metric, ...]:
    """The metrics of a group, up to this importance, in the order of METRICS."""
    return tuple(metric for metric in METRICS if metric.group == group and metric.importance <= importance)


@cache
def metric(key: str) -> Metric:
    """The metric of this key. Raises KeyError where there is none."""
    return {metric.key: metric for metric in METRICS}[key]
