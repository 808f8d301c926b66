"""The figures of a comparison, drawn by matplotlib: for the report, and one at a time for a paper."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from sqlalchemy import Engine

from engine.contract.errors import UserError
from engine.contract.metrics import metrics_of
from engine.contract.terms import TERMS
from handreid_tui.compare.evidence_curves import det, entropy, tippett
from handreid_tui.compare.finished_run import FinishedRun
from handreid_tui.compare.rate_curves import cumulative_matches, projection, true_accepts
from handreid_tui.compare.table import Row
from handreid_tui.compare.tuning_plots import draw_importances, importance_bars, plot_expected_best
from handreid_tui.history import curve

INK = "#010203"  # stands for the reader's own text colour where a figure goes into a page
# after Okabe and Ito 2008, for colour-blind readers; a little lighter, to show on dark pages too
COLORS = ("#2E86C9", "#E0662B", "#1FA37C", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1", "#7F7F7F")
LINES = ("-", "--", "-.", ":")
SHOWN_ROWS = len(COLORS)
BUCKETS = 300  # points of a curve on paper
FORMATS = ("png", "svg", "pdf")

Draw = Callable[[Engine, Sequence[Row]], Figure]


def loss_figure(history: Engine, rows: Sequence[Row]) -> Figure:
    """The total loss and each raw term over the steps, a line a run."""
    terms = [term for term in TERMS if any(term in run.config.loss for row in rows for run in row.runs)]
    panels = {"total": "total loss"} | {f"term/{term}": TERMS[term].title for term in terms}
    return _curves(history, rows, panels, lambda run, steps: steps, "step")


def validation_figure(history: Engine, rows: Sequence[Row]) -> Figure:
    """Rank-1 and mAP on the validation images after each epoch."""
    panels = {each.curve("validation"): f"validation {each.title}" for each in metrics_of("report", 1)}
    return _curves(history, rows, panels, _epochs, "epoch", percent=True)


def geometry_figure(history: Engine, rows: Sequence[Row]) -> Figure:
    """The shape of the validation embedding after each epoch."""
    panels = {each.curve("validation"): each.about for each in metrics_of("geometry")}
    return _curves(history, rows, panels, _epochs, "epoch")


def cmc_figure(history: Engine, rows: Sequence[Row]) -> Figure:
    """Cumulative matches: the share of queries whose match is among the first k, mean over trials and seeds."""
    figure, (axes,) = _panels(1)
    ranks = np.arange(1, 21)
    for color, line, row in _styles(rows):
        share = np.mean([cumulative_matches(run.evaluation, 20) for run in row.runs], axis=0)
        axes.plot(ranks, share, color=color, linestyle=line, marker=".", label=row.label)
    axes.set(xlabel="rank k", ylabel="matched within k", xticks=[1, 5, 10, 15, 20])
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    return _with_legend(figure, axes)


def roc_figure(history: Engine, rows: Sequence[Row]) -> Figure:
    """Verification over all pairs of query and gallery: true accepts against false accepts, mean over seeds."""
    figure, (axes,) = _panels(1)
    rates = np.logspace(-4, 0, 200)
    for color, line, row in _styles(rows):
        accepted = np.mean([true_accepts(run.evaluation, rates) for run in row.runs], axis=0)
        axes.plot(rates, accepted, color=color, linestyle=line, label=row.label)
    axes.set(xlabel="false accept rate", ylabel="true accept rate", xscale="log")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    return _with_legend(figure, axes)


def embedding_figure(history: Engine, rows: Sequence[Row]) -> Figure:
    """The test features of each row's first run on their two main axes, a colour an identity.

    Principal components by numpy's SVD: they need no tuning, and equal distances stay comparable within a panel.
    """
    rows = [row for row in rows if row.runs][:6]
    figure, panels = _panels(len(rows))
    for axes, row in zip(panels, rows, strict=True):
        points, identity, explained = projection(row.runs[0].evaluation)
        for number in range(identity.max() + 1):
            of = points[identity == number]
            style = {"color": matplotlib.colormaps["tab20"](number % 20), "marker": "osD^v"[number // 20 % 5]}
            axes.scatter(of[:, 0], of[:, 1], s=9, alpha=0.8, linewidths=0, **style)
        axes.set(title=row.runs[0].name)
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_xlabel(f"component 1 ({100 * explained[0]:.0f} % of the variance)")
        axes.set_ylabel(f"component 2 ({100 * explained[1]:.0f} %)")
    return figure


def det_figure(history: Engine, rows: Sequence[Row]) -> Figure:
    """Open-set errors of each row's first run on probit axes, with a 95 % band by person."""
    figure, (axes,) = _panels(1)
    for color, line, row in _styles(rows):
        curve_of = det(row.runs[0].evaluation)
        x, y, low, high = (_probit(rates) for rates in (curve_of.fpir, curve_of.fnir, curve_of.low, curve_of.high))
        axes.plot(x, y, color=color, linestyle=line, label=row.label)
        axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
    ticks = np.array([0.002, 0.01, 0.05, 0.2, 0.5, 0.8])
    axes.set(xlabel="FPIR", ylabel="FNIR", xticks=_probit(ticks), yticks=_probit(ticks))
    axes.set(xticklabels=[f"{100 * tick:g} %" for tick in ticks], yticklabels=[f"{100 * tick:g} %" for tick in ticks])
    return _with_legend(figure, axes)


def _probit(rates: np.ndarray) -> np.ndarray:
    from scipy.special import ndtri

    quantiles: np.ndarray = ndtri(np.clip(rates, 1e-3, 1 - 1e-3))
    return quantiles


def tippett_figure(history: Engine, rows: Sequence[Row]) -> Figure:
    """Shares of likelihood ratios above each value, of the same person and of different people; first runs."""
    figure, (axes,) = _panels(1)
    for color, line, row in _styles(rows):
        found = tippett(row.runs[0].evaluation)
        axes.plot(found.at, found.same, color=color, linestyle=line, label=row.label)
        axes.plot(found.at, found.different, color=color, linestyle=line, alpha=0.6)
    axes.axvline(0, color="0.5", linewidth=0.8)
    axes.set(xlabel="log10 LR", ylabel="share with a larger LR")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    return _with_legend(figure, axes)


def ece_figure(history: Engine, rows: Sequence[Row]) -> Figure:
    """Empirical cross-entropy of likelihood ratios over prior odds, of each row's first run."""
    figure, (axes,) = _panels(1)
    for color, line, row in _styles(rows):
        found = entropy(row.runs[0].evaluation)
        axes.plot(found.log10_odds, found.calibrated, color=color, linestyle=line, label=row.label)
        axes.plot(found.log10_odds, found.best, color=color, linestyle=":", alpha=0.7)
        axes.plot(found.log10_odds, found.neutral, color="0.5", linewidth=0.8)
    axes.set(xlabel="prior log10 odds", ylabel="cross-entropy, bits")
    return _with_legend(figure, axes)


def tuning_figure(history: Engine, rows: Sequence[Row]) -> Figure:
    """The expected best validation against the number of trials."""
    figure, (axes,) = _panels(1)
    plot_expected_best(axes, list(_styles(rows)))
    return _with_legend(figure, axes)


def importance_figure(history: Engine, rows: Sequence[Row]) -> Figure:
    """How much each tuned setting mattered, a panel a row."""
    known = importance_bars(list(_styles(rows)))
    figure, panels = _panels(len(known))
    for axes, (row, shares) in zip(panels, known, strict=True):
        draw_importances(axes, row, shares)
    return figure


PLOTS: dict[str, tuple[str, Draw]] = {
    "loss": ("Losses", loss_figure),
    "validation": ("Validation", validation_figure),
    "geometry": ("Geometry of the embedding", geometry_figure),
    "cmc": ("Cumulative match curve", cmc_figure),
    "roc": ("Verification (ROC)", roc_figure),
    "det": ("Open-set identification (DET)", det_figure),
    "tippett": ("Likelihood ratios (Tippett)", tippett_figure),
    "ece": ("Calibration of likelihood ratios (ECE)", ece_figure),
    "embedding": ("Map of the test embedding", embedding_figure),
    "tuning": ("Expected best validation", tuning_figure),
    "importance": ("Importance of settings", importance_figure),
}


def save_plot(history: Engine, rows: Sequence[Row], kind: str, path: Path) -> Path:
    """Write one figure of a table's rows, black on white, for a paper.

    The format is the path's ending: png, svg or pdf. Raises UserError on another kind or ending.
    """
    if kind not in PLOTS:
        raise UserError(f"There is no plot {kind!r}, only {', '.join(PLOTS)}.")
    if path.suffix.lstrip(".") not in FORMATS:
        raise UserError(f"A plot is written as png, svg or pdf; {path.name!r} ends in none of these.")
    with _style("black"):
        figure = PLOTS[kind][1](history, [row for row in rows if row.runs][:SHOWN_ROWS])
        try:
            figure.savefig(path, facecolor="white", dpi=200)
        except OSError as error:
            why = error.strerror or error
            raise UserError(f"{path} cannot be written ({why}): name another file with -o.") from None
    return path


def inline_svg(history: Engine, rows: Sequence[Row], kind: str) -> str:
    """The figure as an <svg> element without a background, its ink in the page's text colour."""
    title, draw = PLOTS[kind]
    text = io.StringIO()
    with _style(INK):
        draw(history, rows[:SHOWN_ROWS]).savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = svg.replace(INK, "currentColor")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)


@contextmanager
def _style(ink: str) -> Iterator[None]:
    colors = dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), ink)
    plain = {"figure.facecolor": "none", "axes.facecolor": "none", "legend.frameon": False, "font.size": 9}
    grid = {"axes.grid": True, "grid.color": ink, "grid.alpha": 0.15, "grid.linewidth": 0.6}
    spines = {"axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 9}
    svg = {"svg.fonttype": "none", "svg.hashsalt": "handreid", "font.sans-serif": ["DejaVu Sans", "sans-serif"]}
    settings: Any = colors | plain | grid | spines | svg
    with matplotlib.rc_context(settings):
        yield


def _panels(count: int) -> tuple[Figure, list[Any]]:
    """A figure with `count` panels, at most three in a line."""
    across = min(count, 3) if count != 4 else 2
    down = -(-count // across)
    figure = Figure(figsize=(3.4 * across + (1.2 if count == 1 else 0), 2.7 * down), layout="constrained")
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for unused in axes[count:]:
        unused.set_visible(False)
    return figure, axes[:count]


def _styles(rows: Sequence[Row]) -> Iterator[tuple[str, str, Row]]:
    for place, row in enumerate(row for row in rows if row.runs):
        yield COLORS[place % len(COLORS)], LINES[place % len(LINES)], row


def _curves(
    history: Engine,
    rows: Sequence[Row],
    panels: dict[str, str],
    place: Callable[[FinishedRun, np.ndarray], np.ndarray],
    xlabel: str,
    percent: bool = False,
) -> Figure:
    """A panel a metric, a line a run, a colour a row."""
    figure, all_axes = _panels(len(panels))
    for axes, (key, title) in zip(all_axes, panels.items(), strict=True):
        for color, line, row in _styles(rows):
            for number, run in enumerate(row.runs):
                steps, values = curve(history, run.number, key, buckets=BUCKETS)
                label = row.label if number == 0 and len(steps) else None
                marker = "." if len(steps) == 1 else None
                x = place(run, steps)
                axes.plot(x, values, color=color, linestyle=line, linewidth=1, marker=marker, label=label, alpha=0.9)
        axes.set(title=title, xlabel=xlabel)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if percent:
            axes.yaxis.set_major_formatter(PercentFormatter(1))
    return _with_legend(figure, *all_axes)


def _epochs(run: FinishedRun, steps: np.ndarray) -> np.ndarray:
    total, epochs = run.started.steps, run.started.epochs
    return steps * epochs / total if total and epochs else steps


def _with_legend(figure: Figure, *axes: Any) -> Figure:
    found: dict[str, Any] = {}
    for each in axes:
        handles, labels = each.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    if found:
        figure.legend(list(found.values()), list(found), loc="outside upper center", ncols=min(len(found), 4))
    return figure
