"""All about one run, beside the table."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from engine.contract.metrics import metrics_of
from handreid_tui.text import run_text
from handreid_tui.text.numbers import duration, metric_text, percent

if TYPE_CHECKING:
    from handreid_tui.history import Message, RunRow


class Details(VerticalScroll):
    """What a run is, what it reached, what it said, how it was configured."""

    BINDING_GROUP_TITLE = "Details"
    DEFAULT_CSS = """
    Details { border: round $border-blurred; border-title-style: bold;
              border-title-color: $foreground; padding: 0 1; scrollbar-size-vertical: 1; }
    Details:focus { border: round $border; }
    Details Static { height: auto; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.border_title = "Details"

    def compose(self) -> Any:
        yield Static("", markup=False)

    def show(self, run: RunRow | None, label: str, configuration: dict[str, Any], messages: list[Message]) -> None:
        text = Content("Select a run to show it here.") if run is None else _about(run, label, configuration, messages)
        self.border_title = "Details" if run is None else f"Run {run.number}"
        self.query_one(Static).update(text)


def _about(run: RunRow, label: str, configuration: dict[str, Any], messages: list[Message]) -> Content:
    mark, style = run_text.sign(run)
    lines = [Content.assemble((label, "bold"), (f"  seed {run.seed}", "$secondary"))]
    lines.append(Content.assemble((f"{mark} {run_text.status(run)}", style), f"  {run_text.where(run)}"))
    if run.reason:
        lines.append(Content.assemble((run.reason, "$error" if run.status in ("failed", "lost") else "$secondary")))
    if run.tags:
        lines.append(Content.assemble((" ".join(f"#{tag}" for tag in run.tags), "$accent")))
    if run.note:
        lines.append(Content.assemble((run.note, "italic")))
    lines += [Content(""), *_results(run)]
    if run.best_epoch and (best := run.metrics["best_val_mAP"]) is not None:
        lines.append(_pair("best epoch", f"{run.best_epoch} (val mAP {percent(best)})", 16))
    lines.append(Content(""))
    if run.created:
        lines.append(_pair("made", f"{datetime.datetime.fromtimestamp(run.created):%Y-%m-%d %H:%M}"))
    if run.seconds:
        lines.append(_pair("time", duration(run.seconds)))
    for name, value in (("device", run.device), ("host", run.host), ("data", run.dataset), ("subset", run.subset),
                        ("split", run.fingerprint[:12]), ("folder", run.path.name)):  # fmt: skip
        if value:
            lines.append(_pair(name, value))
    if messages:
        lines += [Content(""), Content.assemble(("Messages", "bold $primary"))]
        for message in messages[-12:]:
            lines.append(Content.assemble((message.text, "$warning" if message.level != "info" else "$secondary")))
    if configuration:
        lines += [Content(""), Content.assemble(("Configuration", "bold $primary"))]
        lines += [_pair(key, str(value), 26) for key, value in configuration.items() if key not in ("version",)]
    return Content("\n").join(lines)


def _results(run: RunRow) -> list[Content]:
    known = {name: value for name, value in run.metrics.items() if value is not None}
    if "rank1" not in known:
        shown = [metric for metric in metrics_of("report", 1) if metric.column("validation") in known]
        values = [(metric.title, metric_text(metric, known[metric.column("validation")])) for metric in shown]
        lines = [_pair(f"val {title}", value) for title, value in values]
        return lines or [Content.assemble(("No results yet.", "$secondary"))]
    lines = [Content.assemble((f"{'%':<16}{'after':>7}{'before':>9}{'pixels':>9}", "$secondary"))]
    for metric in metrics_of("report"):
        before, pixels = known.get(metric.column("before")), known.get(metric.column("pixels"))
        others = "".join(f"{'' if value is None else metric_text(metric, value):>9}" for value in (before, pixels))
        after = metric_text(metric, known.get(metric.key))
        lines.append(Content.assemble(f"{metric.title:<16}", (f"{after:>7}", "bold"), (others, "$secondary")))
    for metric in metrics_of("geometry"):
        if (value := known.get(metric.column("final"))) is not None:
            lines.append(_pair(metric.title, metric_text(metric, value), 16))
    return lines


def _pair(name: str, value: str, width: int = 10) -> Content:
    return Content.assemble((f"{name:<{width}} ", "$secondary"), value)
