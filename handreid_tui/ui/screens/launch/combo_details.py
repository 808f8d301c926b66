"""What a combination is: its terms in the words of the field, and what it reached so far."""

from __future__ import annotations

from textual.content import Content

from engine.contract.combos import Combo
from engine.contract.terms import TERMS
from handreid_tui.text.numbers import percent
from handreid_tui.ui.screens.launch.so_far import Best


def about(name: str, combo: Combo, best: Best | None) -> Content:
    """The panel beside the table."""
    lines = [Content.assemble((combo.title, "bold")), Content(combo.does), Content("")]
    for term, weight in combo.weights.items():
        told = TERMS[term]
        options = told.defaults | {"weight": weight} | combo.options.get(term, {})
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
        of = f", the best of {best.groups} configurations" if best.groups > 1 else ""
        rates = f"rank-1 {percent(best.rank1)}  mAP {percent(best.mAP)}"
        lines.append(Content.assemble(("So far  ", "$secondary"), rates))
        lines.append(Content.assemble((f"{seeds}{of}, {best.data}", "$secondary")))
    else:
        lines.append(Content.assemble((f"{name} has no result yet.", "$secondary")))
    return Content("\n").join(lines)
