"""What a combination is: its terms in the words of the field, its cost, and what it reached here and elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from engine.contract.combos import Combo
from engine.contract.encoders import ENCODERS, image_size
from engine.contract.published import REFERENCES
from engine.contract.terms import TERMS
from handreid_tui.text.numbers import percent
from handreid_tui.ui.screens.launch.so_far import Result

if TYPE_CHECKING:
    from engine.contract.config import RunConfig


def about(name: str, combo: Combo, result: Result | None, config: RunConfig | None = None) -> Content:
    """The panel beside the table. `config`: what the settings of the page come to for this combination."""
    lines = [Content.assemble((combo.title, "bold")), Content(combo.does), Content("")]
    for term, weight in combo.weights.items():
        declared = TERMS[term]
        resolved = config.loss.get(term) if config else None
        options = resolved or declared.defaults | {"weight": weight} | combo.options.get(term, {})
        lines.append(Content.assemble((declared.title, "bold $primary"), f"  {declared.does}"))
        text = "   ".join(
            f"{key} {value:g}" if isinstance(value, float | int) else f"{key} {value}" for key, value in options.items()
        )
        lines.append(Content.assemble((f"  {text}", "$secondary")))
        lines.append(Content.assemble((f"  {declared.source}", "$secondary")))
    if not combo.weights:
        lines.append(Content.assemble(("No training: the encoder that the others start from.", "$secondary")))
    lines.append(Content(""))
    lines += [*_costs(combo, config), *_published(name), Content("")]
    if result and result.seeds:
        seeds = f"{result.seeds} seed{'s' if result.seeds != 1 else ''}"
        lines.append(Content.assemble(("So far, with these settings  ", "$secondary"), f"{seeds}, {result.data}"))
        lines.append(Content.assemble(("validation  ", "$secondary"), f"mAP {percent(result.val_mAP)}"))
        rates = f"rank-1 {percent(result.rank1)}  mAP {percent(result.mAP)}"
        lines.append(Content.assemble(("test        ", "$secondary"), rates))
    else:
        lines.append(Content.assemble(("Not run yet with these settings.", "$secondary")))
    return Content("\n").join(lines)


def _costs(combo: Combo, config: RunConfig | None) -> list[Content]:
    """Stages, epochs and input size, and the encoder."""
    if config is None:
        return [_line("Cost", combo.cost)]
    model, train = config.model, config.train
    size = model.image_size or image_size(model.name)
    facts = [f"{size} px" if size else "the encoder's own input size"]
    if config.loss:
        facts = [f"{train.epochs} epochs", f"batch {train.ids_per_batch}x{train.images_per_id}", *facts]
    if any(TERMS[term].texts == "learnt" for term in config.loss):
        facts = [f"{config.prompts.epochs} epochs of prompts", *facts]
    known = ENCODERS.get(model.name)
    encoder = f"{model.name}. {known.does}; {known.millions:g} M parameters." if known else f"{model.name}."
    stages = [_line("Cost", f"{combo.cost} {', '.join(facts)}.")] if config.loss else [_line("Input", f"{facts[0]}.")]
    return [*stages, _line("Encoder", encoder)]


def _published(name: str) -> list[Content]:
    """What others report of it, where that could be checked."""
    results = [str(each) for each in REFERENCES.get(name, ())] or ["no result that could be checked"]
    return [_line("Published", text) for text in results]


def _line(title: str, text: str) -> Content:
    return Content.assemble((f"{title}  ", "$secondary"), text)
