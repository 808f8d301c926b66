"""All about one run, beside the table."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from handreid_tui.text import run_text
from handreid_tui.text.numbers import duration, percent

if TYPE_CHECKING:
    from handreid_tui.history import Message, RunRow

METRICS = (("rank-1", "rank1"), ("rank-5", "rank5"), ("rank-10", "rank10"), ("mAP", "mAP"), ("mINP", "mINP"),
           ("EER", "eer"), ("TAR @ FAR 0.1%", "tar_at_far_1e3"))  # fmt: skip


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
        text = Content("Choose a run to see it here.") if run is None else _about(run, label, configuration, messages)
        self.border_title = "Details" if run is None else f"Run {run.number}"
        self.query_one(Static).update(text)


def _about(run: RunRow, label: str, configuration: dict[str, Any], messages: list[Message]) -> Content:
    mark, style = run_text.sign(run)
    lines = [Content.assemble((label, "bold"), (f"  seed {run.seed}", "$secondary"))]
    lines.append(Content.assemble((f"{mark} {run_text.status(run)}", style), f"  epoch {run_text.epochs(run)}"))
    if run.reason:
        lines.append(Content.assemble((run.reason, "$error" if run.status in ("failed", "lost") else "$secondary")))
    if run.tags:
        lines.append(Content.assemble((" ".join(f"#{tag}" for tag in run.tags), "$accent")))
    if run.note:
        lines.append(Content.assemble((run.note, "italic")))
    lines += [Content(""), *_results(run)]
    if run.best_epoch and run.best_val_mAP is not None:
        lines.append(_pair("best epoch", f"{run.best_epoch} (val mAP {percent(run.best_val_mAP)})", 16))
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
    if run.rank1 is None:
        if run.val_rank1 is None:
            return [Content.assemble(("No results yet.", "$secondary"))]
        return [_pair("val rank-1", percent(run.val_rank1)), _pair("val mAP", percent(run.val_mAP))]
    lines = [Content.assemble((f"{'%':<16}{'after':>7}{'before':>9}{'pixels':>9}", "$secondary"))]
    for title, key in METRICS:
        before, pixels = getattr(run, f"before_{key}", None), getattr(run, f"pixels_{key}", None)
        others = f"{percent(before) if before is not None else '':>9}{percent(pixels) if pixels is not None else '':>9}"
        lines.append(
            Content.assemble(f"{title:<16}", (f"{percent(getattr(run, key)):>7}", "bold"), (others, "$secondary"))
        )
    if run.test_geometry_intra is not None and run.test_geometry_inter is not None:
        lines.append(_pair("within", f"{run.test_geometry_intra:.3f}", 16))
        lines.append(_pair("between", f"{run.test_geometry_inter:.3f}", 16))
    return lines


def _pair(name: str, value: str, width: int = 10) -> Content:
    return Content.assemble((f"{name:<{width}} ", "$secondary"), value)
