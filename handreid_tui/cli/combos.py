"""`handreid combos`: the loss terms and the named combinations."""

from __future__ import annotations

import json
from typing import Any

from rich.table import Table

from engine.contract.combos import COMBOS, Combo
from engine.contract.published import REFERENCES
from engine.contract.terms import TERMS, Term
from handreid_tui.text.tables import stdout


def show_combos(own: dict[str, Combo], as_json: bool) -> None:
    combos = COMBOS | own
    if as_json:
        shown = {
            "combos": {
                name: {"title": c.title, "does": c.does, "weights": c.weights, "settings": c.settings, "cost": c.cost}
                for name, c in combos.items()
            },
            "terms": {name: _as_object(term) for name, term in TERMS.items()},
        }
        print(json.dumps(shown, indent=2))
        return
    table = Table("combination", "terms and weights", "what it does", box=None, padding=(0, 2, 0, 0))
    for name, combo in combos.items():
        weights = " + ".join(f"{term}:{weight:g}" if weight != 1 else term for term, weight in combo.weights.items())
        settings = "".join(f", {key}={value}" for key, value in combo.settings.items())
        table.add_row(name, f"{weights or '–'}{settings}", combo.does)
    terms = Table("term", "what it does", "options", "source", box=None, padding=(0, 2, 0, 0))
    for name, term in TERMS.items():
        options = ", ".join(f"{key}={option.default:g}" for key, option in term.options.items())
        terms.add_row(name, term.does, options, term.source)
    published = Table("combination", "published result", "source", box=None, padding=(0, 2, 0, 0))
    for name in combos:
        for reference in REFERENCES.get(name, ()):
            published.add_row(name, str(reference), reference.row.source)
    out = stdout()
    for each in (table, terms, published):
        out.print(each)
        out.print()
    out.print("Your own: `--combo ce+triplet:0.5+cosface`, options as `--set loss.triplet.margin=0.5`.")


def _as_object(term: Term) -> dict[str, Any]:
    options = {key: option.default for key, option in term.options.items()}
    about = {"title": term.title, "does": term.does, "source": term.source, "weight": term.weight.default}
    return about | {"options": options, "feature": term.side, "aliases": term.aliases}
