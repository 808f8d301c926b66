"""What a combination is: its terms in the words of the field, and what it reached so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from textual.content import Content

from engine.combos import TERMS, Combo
from handreid_tui.formatting import percent

if TYPE_CHECKING:
    from handreid_tui.history import RunRow


@dataclass(frozen=True)
class Best:
    """The mean over the seeds of a combination in its latest protocol."""

    rank1: float
    mAP: float
    seeds: int
    data: str


def best_so_far(runs: Iterable[RunRow]) -> dict[str, Best]:
    """What each combination reached, in the protocol of the latest finished run. Zero-shot from `before` too."""
    finished = [run for run in runs if run.rank1 is not None and run.mAP is not None and not run.archived]
    if not finished:
        return {}
    protocol = max(finished, key=lambda run: run.number).protocol
    by_combo: dict[str, dict[int, RunRow]] = {}
    for run in finished:
        if run.protocol == protocol:
            by_combo.setdefault(run.combo, {})[run.seed] = run
    found = {}
    for combo, seeds in by_combo.items():
        rank1, mAP = (fmean(getattr(run, key) or 0.0 for run in seeds.values()) for key in ("rank1", "mAP"))
        any_run = next(iter(seeds.values()))
        found[combo] = Best(rank1, mAP, len(seeds), f"{any_run.dataset.rpartition('/')[2]} {any_run.subset}")
    before = [run for run in finished if run.protocol == protocol and run.before_rank1 is not None]
    if before and "zero_shot" not in found:
        last = before[-1]
        found["zero_shot"] = Best(last.before_rank1 or 0.0, last.before_mAP or 0.0, 1, f"{last.subset}")
    return found


def about(name: str, combo: Combo, best: Best | None) -> Content:
    """The panel beside the table."""
    lines = [Content.assemble((combo.title, "bold")), Content(combo.does), Content("")]
    for term, weight in combo.weights.items():
        told = TERMS[term]
        options = {"weight": weight} | told.options | combo.options.get(term, {})
        lines.append(Content.assemble((told.title, "bold $primary"), f"  {told.does}"))
        text = "   ".join(
            f"{key} {value:g}" if isinstance(value, float | int) else f"{key} {value}" for key, value in options.items()
        )
        lines.append(Content.assemble((f"  {text}", "$secondary")))
        lines.append(Content.assemble((f"  {told.source}", "$secondary dim")))
    if not combo.weights:
        lines.append(Content.assemble(("Nothing is trained: it says where the others start.", "$secondary")))
    lines.append(Content(""))
    if best:
        seeds = f"{best.seeds} seed{'s' if best.seeds != 1 else ''}"
        lines.append(
            Content.assemble(
                ("So far  ", "$secondary"),
                f"rank-1 {percent(best.rank1)}  mAP {percent(best.mAP)}",
                (f"  {seeds}, {best.data}", "$secondary"),
            )
        )
    else:
        lines.append(Content.assemble((f"{name} has no result yet.", "$secondary")))
    return Content("\n").join(lines)
