"""The table of combinations: the named ones, the user's own, those added and edited here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from engine.contract.combos import COMBOS, Combo, combo_name, expression_of, find_combo, title_of
from engine.contract.errors import UserError
from engine.contract.terms import TERMS
from handreid_tui.text.numbers import percent
from handreid_tui.ui.keymap import named
from handreid_tui.ui.screens.launch.so_far import Result
from handreid_tui.ui.table import Cell, Column, RowTable

OWN = "+"
NAME = 26  # the longest named combination and that it was edited
COLUMNS = (
    Column("chosen", "", 1),
    Column("name", "combination", NAME),
    Column("terms", "terms", 20, rest=True, drop=1),
    Column("val_mAP", "val mAP", 8, True),
    Column("seeds", "seeds", 5, True, drop=2),
)
EDITED = " (edited)"
REMOVE = "Discard an edit, or remove a custom combination"


class ComboTable(RowTable[str]):
    """A row for each combination, and a last one to add another.

    `chosen`: those to launch, in order; one of handreid.toml may be among them before that file is read.
    """

    BINDING_GROUP_TITLE = "Combinations"
    BINDINGS: ClassVar[list[BindingType]] = named(
        "combinations",
        [
            Binding("d,delete,backspace", "screen.remove", "Remove", show=False, tooltip=REMOVE),
        ],
    )

    def __init__(self) -> None:
        super().__init__(COLUMNS, self._of, title="Combinations", id="combos")
        self.chosen: dict[str, None] = {}
        self.added: dict[str, Combo] = {}
        self._user: dict[str, Combo] = {}
        self._edited: dict[str, Combo] = {}
        self._best: dict[str, Result] = {}

    @property
    def combos(self) -> dict[str, Combo]:
        return COMBOS | self._user | self.added | self._edited

    @property
    def own(self) -> dict[str, Combo]:
        """What a launch must be told beside the named ones."""
        return self._user | self._edited

    @property
    def edited(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The edited combinations as they are remembered: their terms, each with weight and options."""
        return {
            name: {term: {"weight": weight} | combo.options.get(term, {}) for term, weight in combo.weights.items()}
            for name, combo in self._edited.items()
        }

    def remember(self, added: Sequence[object], chosen: Sequence[object], edited: Mapping[str, object]) -> None:
        """Take over what an earlier start left."""
        for text in map(str, added):
            try:
                self.added[text] = find_combo(text)
            except UserError:
                continue
        for name, terms in edited.items():
            if combo := _recall(self.combos.get(name), terms):
                self._edited[name] = combo
        self.chosen = dict.fromkeys(map(str, chosen))
        for name in [name for name in self.added if name in self._edited]:
            self.edit(name, self._edited[name])  # of an earlier version: under the old expression
        self.update()

    def set_user(self, combos: dict[str, Combo]) -> None:
        self._user = combos
        self.update()

    def set_best(self, best: dict[str, Result]) -> bool:
        """Show what the combinations reached; whether that is news."""
        if best == self._best:
            return False
        self._best = best
        self.update()
        return True

    @property
    def results(self) -> Mapping[str, Result]:
        return self._best

    def set_again(self, combos: Mapping[str, Combo]) -> None:
        """Choose these combinations alone, with these terms."""
        for name, combo in combos.items():
            if name not in self.combos:
                self.added[name] = Combo(combo.title, combo.does, combo.weights)
            self._edited.pop(name, None)
            plain = self.combos[name]
            if plain.weights != combo.weights or _options(plain) != _options(combo):
                self._edited[name] = replace(plain, weights=combo.weights, options=combo.options)
        self.chosen = dict.fromkeys(combos)
        self.update(next(iter(combos)))

    def best_of(self, name: str) -> Result | None:
        return self._best.get(name)

    def edit(self, name: str, combo: Combo) -> None:
        """Change a combination. An expression that was added here is renamed: it names the weights."""
        if name in self.added:
            new = combo_name(expression_of(combo.weights), self._user)
            plain = find_combo(new, self._user)
            named = new in COMBOS or new in self._user
            others = {each: combo for each, combo in self.added.items() if each != name}
            self.added = others if named else others | {new: plain}
            self.chosen = dict.fromkeys(new if each == name else each for each in self.chosen)
            self._edited.pop(name, None)
            name = new
            if _given(plain) == _given(combo):
                self.update(name)
                return
        self._edited[name] = combo
        self.update(name)

    def saved(self, name: str, new: str, combos: dict[str, Combo]) -> None:
        """A combination was saved as `new` of handreid.toml, which now holds `combos`."""
        self.added.pop(name, None)
        self._edited.pop(name, None)
        self._edited.pop(new, None)
        self.chosen = dict.fromkeys(new if each == name else each for each in self.chosen)
        self._user = combos
        self.update(new)

    def add(self, text: str) -> None:
        """Add a combination, or find it in the table, and choose it. Raises UserError if there is no such one."""
        name = combo_name(text, self._user)
        if name not in self.combos:
            self.added[name] = find_combo(name, self._user)
        self.chosen[name] = None
        self.update(name)

    def take_back(self, name: str) -> bool:
        """Take back what was edited, or else what was added; whether there was something."""
        if name in self._edited:
            del self._edited[name]
        elif name in self.added:
            del self.added[name]
            self.chosen.pop(name, None)
        else:
            return False
        self.update()
        return True

    def named(self, name: str) -> str:
        """The name, cut to its column, and whether it was edited: it may speak of a weight that is another now."""
        if name not in self._edited:
            return name
        room = NAME - len(EDITED)
        return f"{name if len(name) <= room else f'{name[: room - 1]}…'}{EDITED}"

    def toggle(self, name: str) -> None:
        if name in self.chosen:
            del self.chosen[name]
        else:
            self.chosen[name] = None
        self.update()

    def update(self, current: str | None = None) -> None:
        self.show([*self.combos, OWN], None, current)

    def _of(self, name: str) -> Sequence[Cell]:
        if name == OWN:
            return " ", ("+ your own …", "secondary"), ("such as ce+triplet:0.5+cosface", "secondary"), "", ""
        combo, best = self.combos[name], self._best.get(name)
        chosen = name in self.chosen
        numbers: list[Cell] = ["", ""]
        if best and best.seeds:
            numbers = [percent(best.val_mAP), (str(best.seeds), "secondary")]
        return (
            ("✓", "success bold") if chosen else " ",
            (self.named(name), "bold" if chosen else ""),
            (combo.title, "secondary"),
            *numbers,
        )


def _options(combo: Combo) -> dict[str, dict[str, Any]]:
    """The options of each term but its weight, with the usual ones."""
    return {term: TERMS[term].defaults | combo.options.get(term, {}) | {"weight": None} for term in combo.weights}


def _given(combo: Combo) -> dict[str, dict[str, Any]]:
    """The options that a combination sets itself: a model's recipe does not change them."""
    return {term: dict(options) for term, options in combo.options.items() if options}


def _recall(before: Combo | None, terms: Any) -> Combo | None:
    """An edited combination from what was remembered of it; None where that is damaged. Values are judged later."""
    try:
        options = {term: dict(values) for term, values in terms.items()}
        weights = {term: float(values.pop("weight")) for term, values in options.items()}
        title = title_of(weights)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    before = before or Combo(title, "A custom combination.", {})
    return replace(before, weights=weights, options=options)
