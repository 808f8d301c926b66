"""`w`: a combination of the page is saved under a name, in handreid.toml."""

from __future__ import annotations

from collections.abc import Callable

from engine.contract.combos import COMBOS, Combo
from handreid_tui.launch.save_combo import check_combo_name, save_combo
from handreid_tui.settings import UserFile, read_user_file
from handreid_tui.ui.background import Latest
from handreid_tui.ui.dialogs import Prompt
from handreid_tui.ui.page import Page


def ask_and_save(page: Page, name: str, combo: Combo, saved: Callable[[str, UserFile], None]) -> None:
    """Ask for a name and save; `saved` gets it, with the file as it is then."""

    def save(new: str) -> UserFile:
        save_combo(new, combo)
        return read_user_file()

    def answered(new: str | None) -> None:
        if new:
            new = new.strip()
            job: Latest[str, UserFile] = Latest(
                page, save, lambda user: saved(new, user), lambda text: page.say(text, wrong=True)
            )
            job.ask(new)

    given = "" if name in COMBOS or "+" in name or ":" in name else name
    hint = "letters, digits, - and _; replaces one of this name in handreid.toml"
    page.app.push_screen(Prompt(f"Save {name} as", given, hint, check_combo_name), answered)
