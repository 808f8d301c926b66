"""The table of combinations: the named ones, the user's own, those added and edited here."""

from __future__ import annotations

from collections.abc import Sequence

from engine.combos import COMBOS, Combo, find_combo
from engine.errors import UserError
from handreid_tui.formatting import percent
from handreid_tui.screens.launch.about import Best
from handreid_tui.screens.table import Cell, Column, RowTable

OWN = "+"
COLUMNS = (
    Column("chosen", "", 1),
    Column("name", "combination", 18),
    Column("terms", "terms", 22, rest=True, drop=1),
    Column("rank1", "rank-1", 7, True),
    Column("mAP", "mAP", 6, True),
    Column("seeds", "seeds", 5, True, drop=2),
)


class ComboTable(RowTable[str]):
    """A row for each combination, and a last one to add another. `chosen`: those to launch, in order."""

    BINDING_GROUP_TITLE = "Combinations"

    def __init__(self) -> None:
        super().__init__(COLUMNS, self._of, title="Combinations", id="combos")
        self.chosen: dict[str, None] = {}
        self.added: dict[str, Combo] = {}
        self._user: dict[str, Combo] = {}
        self._edited: dict[str, Combo] = {}
        self._best: dict[str, Best] = {}

    @property
    def combos(self) -> dict[str, Combo]:
        return COMBOS | self._user | self.added | self._edited

    @property
    def own(self) -> dict[str, Combo]:
        """What a launch must be told beside the named ones."""
        return self._user | self._edited

    def remember(self, added: Sequence[object], chosen: Sequence[object]) -> None:
        """Take over what an earlier start left."""
        for text in map(str, added):
            try:
                self.added[text] = find_combo(text)
            except UserError:
                continue
        self.chosen = {name: None for name in map(str, chosen) if name in self.combos}
        self.update()

    def set_user(self, combos: dict[str, Combo]) -> None:
        self._user = combos
        self.update()

    def set_best(self, best: dict[str, Best]) -> bool:
        """Show what the combinations reached; whether that is news."""
        if best == self._best:
            return False
        self._best = best
        self.update()
        return True

    def best_of(self, name: str) -> Best | None:
        return self._best.get(name)

    def edit(self, name: str, combo: Combo) -> None:
        self._edited[name] = combo
        self.update()

    def add(self, text: str) -> None:
        """Add a combination, chosen. Raises UserError where there is none like it."""
        self.added[text] = find_combo(text, self._user)
        self.chosen[text] = None
        self.update(text)

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
            return " ", ("+ your own …", "secondary"), ("such as ce+triplet:0.5+cosface", "secondary"), "", "", ""
        combo, best = self.combos[name], self._best.get(name)
        chosen = name in self.chosen
        title = f"{combo.title} (edited)" if name in self._edited else combo.title
        numbers: list[Cell] = ["", "", ""]
        if best:
            seeds = "" if name == "zero_shot" else str(best.seeds)
            numbers = [percent(best.rank1), percent(best.mAP), (seeds, "secondary")]
        return (
            ("✓", "success bold") if chosen else " ",
            (name, "bold" if chosen else ""),
            (title, "secondary"),
            *numbers,
        )
