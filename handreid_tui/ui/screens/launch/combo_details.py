"""What a combination is: its terms in the words of the field, and what it reached so far."""

from __future__ import annotations

from textual.content import Content

from engine.contract.combos import Combo
from engine.contract.terms import TERMS
from handreid_tui.text.numbers import percent
from handreid_tui.ui.screens.launch.so_far import Result


def about(combo: Combo, result: Result | None) -> Content:
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
        lines.append(Content.assemble(("No training: the encoder that the others start from.", "$secondary")))
    lines.append(Content(""))
    if result and result.seeds:
        seeds = f"{result.seeds} seed{'s' if result.seeds != 1 else ''}"
        lines.append(Content.assemble(("So far, with these settings  ", "$secondary"), f"{seeds}, {result.data}"))
        lines.append(Content.assemble(("validation  ", "$secondary"), f"mAP {percent(result.val_mAP)}"))
        rates = f"rank-1 {percent(result.rank1)}  mAP {percent(result.mAP)}"
        lines.append(Content.assemble(("test        ", "$secondary"), rates))
    else:
        lines.append(Content.assemble(("Not run yet with these settings.", "$secondary")))
    return Content("\n").join(lines)
