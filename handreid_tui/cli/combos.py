"""`handreid combos`: the loss terms and the named combinations."""

from __future__ import annotations

import json
from typing import Any

from rich.table import Table

from engine.contract.combos import COMBOS, Combo
from engine.contract.terms import TERMS, Term
from handreid_tui.text.tables import stdout


def show_combos(own: dict[str, Combo], as_json: bool) -> None:
    combos = COMBOS | own
    if as_json:
        shown = {
            "combos": {
                name: {"title": c.title, "does": c.does, "weights": c.weights, "settings": c.settings}
                for name, c in combos.items()
            },
            "terms": {name: _as_object(term) for name, term in TERMS.items()},
        }
        print(json.dumps(shown, indent=2))
        return
    table = Table("combination", "terms and weights", "what it does", box=None, padding=(0, 2, 0, 0))
    for name, combo in combos.items():
        weights = " + ".join(f"{term}:{weight:g}" if weight != 1 else term for term, weight in combo.weights.items())
        table.add_row(name, weights or "–", combo.does)
    terms = Table("term", "what it does", "options", "source", box=None, padding=(0, 2, 0, 0))
    for name, term in TERMS.items():
        options = ", ".join(f"{key}={option.default:g}" for key, option in term.options.items())
        terms.add_row(name, term.does, options, term.source)
    out = stdout()
    out.print(table)
    out.print()
    out.print(terms)
    out.print("\nYour own: `--combo ce+triplet:0.5+cosface`, options as `--set loss.triplet.margin=0.5`.")


def _as_object(term: Term) -> dict[str, Any]:
    options = {key: option.default for key, option in term.options.items()}
    about = {"title": term.title, "does": term.does, "source": term.source, "weight": term.weight.default}
    return about | {"options": options, "feature": term.side, "aliases": term.aliases}
