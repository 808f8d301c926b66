"""What a user does with the table of combinations: choose, edit, add, save, discard."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.contract.combos import Combo
from engine.contract.terms import TERMS
from handreid_tui.launch.grid import read_combos
from handreid_tui.settings import UserFile
from handreid_tui.ui.page import Page
from handreid_tui.ui.screens.launch.combo_table import OWN, ComboTable

if TYPE_CHECKING:
    from engine.contract.config import RunConfig

TERMS_HINT = f"terms: {', '.join(TERMS)}; weights separated by commas make one combination each"


class ComboActions:
    """Acts on the combination under the cursor; `changed` is called when the table has another content.

    `resolved`: the configuration of a combination with the settings of the page, None where they do not suit it.
    Dialogs are imported when they open: the first frame does not wait for them.
    """

    def __init__(self, page: Page, changed: Callable[[], None], resolved: Callable[[str], RunConfig | None]) -> None:
        self._page, self._changed, self._resolved = page, changed, resolved
        self.user = UserFile()

    @property
    def _table(self) -> ComboTable:
        return self._page.query_one(ComboTable)

    def choose(self) -> None:
        name = self._table.current
        if name is None or name == OWN:
            self.add()
        else:
            self._table.toggle(name)
            self._changed()

    def edit(self) -> None:
        from handreid_tui.ui.screens.launch.edit_terms import EditTerms

        name = self._table.current
        if name is None or name == OWN:
            self.add()
        elif not (combo := self._table.combos[name]).weights:
            self._page.say("No training, no terms: there is nothing to edit.")
        else:

            def answered(changed: Combo | None) -> None:
                if changed is not None:
                    self._table.edit(name, changed)
                    self._changed()

            self._page.app.push_screen(EditTerms(name, combo, self._resolved(name)), answered)

    def add(self) -> None:
        from handreid_tui.ui.dialogs import Prompt

        def check(text: str) -> None:
            from engine.contract.config import resolve

            for name in read_combos([text], self.user.combos):
                resolve(name, 0, self.user.combos)

        def answered(text: str | None) -> None:
            if text:
                for name in read_combos([text], self.user.combos):
                    self._table.add(name)
                self._changed()

        self._page.app.push_screen(Prompt("Custom combination", "ce+triplet:0.5", TERMS_HINT, check), answered)

    def save(self) -> None:
        from handreid_tui.ui.screens.launch.save_dialog import ask_and_save

        name = self._table.current
        if name is None or name == OWN or not (combo := self._table.combos[name]).weights:
            self._page.say("Select a combination with terms to save.")
            return

        def saved(new: str, user: UserFile) -> None:
            self.user = user
            self._table.saved(name, new, user.combos)
            self._changed()
            self._page.say(f"Saved as {new} in handreid.toml.")

        ask_and_save(self._page, name, combo, saved)

    def remove(self) -> None:
        name = self._table.current
        if name and self._table.take_back(name):
            self._changed()
        else:
            self._page.say("Only combinations added or edited here can be discarded.")
