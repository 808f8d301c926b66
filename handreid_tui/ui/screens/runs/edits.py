"""What a user changes about runs: tags, note, name, archive, delete. In its directory first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from engine.contract.errors import UserError
from handreid_tui.text import run_text
from handreid_tui.ui.dialogs import Confirm, Prompt
from handreid_tui.ui.other_programs import edit_text
from handreid_tui.ui.page import Page
from handreid_tui.ui.run_actions import RunActions

if TYPE_CHECKING:
    from handreid_tui.history import RunRow


class Edits:
    """Asks what is to be changed about the given runs, and changes it."""

    def __init__(self, page: Page, actions: RunActions) -> None:
        self._page, self._actions = page, actions

    def _edit(self, runs: Sequence[RunRow], change: Callable[[RunRow], None], message: str) -> None:
        def job() -> str:
            for run in runs:
                change(run)
            return message if len(runs) == 1 else f"{message} ({len(runs)} runs)"

        self._actions.do(job)

    def tag(self, runs: Sequence[RunRow]) -> None:
        from handreid_tui.history import set_tags

        history = self._page.handreid.snapshot.opened
        common = [tag for tag in runs[0].tags if all(tag in run.tags for run in runs)]

        def answered(text: str | None) -> None:
            if text is not None:
                wanted = text.replace(",", " ").split()
                gone = set(common) - set(wanted)
                self._edit(
                    runs,
                    lambda run: set_tags(history, run.number, [t for t in (*run.tags, *wanted) if t not in gone]),
                    "Tagged." if wanted else "Tags removed.",
                )

        text = "".join(f"{tag} " for tag in common)
        title = f"Tags of {run_text.names(runs)}"
        self._page.app.push_screen(Prompt(title, text, "words, separated by spaces"), answered)

    def note(self, runs: Sequence[RunRow]) -> None:
        common = _common_note(runs)

        def answered(text: str | None) -> None:
            if text is not None and text != common:
                self._write_note(runs, text)

        hint = "the notes differ; your text replaces all of them" if len({run.note for run in runs}) > 1 else ""
        self._page.app.push_screen(Prompt(f"Note on {run_text.names(runs)}", common, hint), answered)

    def note_in_editor(self, runs: Sequence[RunRow]) -> None:
        common = _common_note(runs)
        try:
            text = edit_text(self._page.app, common)
        except UserError as error:
            self._page.say(str(error), wrong=True)
            return
        if text != common:
            self._write_note(runs, text)

    def _write_note(self, runs: Sequence[RunRow], text: str) -> None:
        from handreid_tui.history import set_note

        history = self._page.handreid.snapshot.opened
        self._edit(runs, lambda run: set_note(history, run.number, text), "Noted.")

    def name(self, run: RunRow) -> None:
        from handreid_tui.history import set_name

        history = self._page.handreid.snapshot.opened
        own = "" if run.name == run.path.name else run.name

        def answered(text: str | None) -> None:
            if text is not None:
                self._edit([run], lambda run: set_name(history, run.number, text), "Renamed.")

        self._page.app.push_screen(
            Prompt(f"Name of run {run.number}", own, "empty: the name of its directory"), answered
        )

    def archive(self, runs: Sequence[RunRow]) -> None:
        from handreid_tui.history import archive

        hide = not all(run.archived for run in runs)
        history = self._page.handreid.snapshot.opened
        message = "Archived; A shows archived runs." if hide else "Restored from the archive."
        self._edit(runs, lambda run: archive(history, run.number, hide), message)

    def delete(self, runs: Sequence[RunRow]) -> None:
        from handreid_tui.launch.dependents import dependents

        def answered(yes: bool | None) -> None:
            if yes:
                self._actions.do(lambda: self._trash(runs))

        question = (
            f"Delete {run_text.names(runs)} with checkpoints and results? The trash keeps everything for 30 days."
        )
        question = "\n\n".join([question, *(each.sentence for each in dependents(run.path for run in runs))])
        self._page.app.push_screen(Confirm("Delete", question, "Delete"), answered)

    def _trash(self, runs: Sequence[RunRow]) -> str:
        from handreid_tui.launch import trash

        trash.trash(run.path for run in runs)
        return f"Deleted {run_text.counted(runs)}. U restores."

    def undo(self) -> None:
        """Restore the runs that were deleted last, here or elsewhere."""
        folder = self._page.handreid.places.runs

        def job() -> str:
            from handreid_tui.launch import trash

            restored = trash.restore(trash.last_trashed(folder))
            if not restored:
                return "The trash is empty: nothing to restore."
            return f"Restored {', '.join(path.name for path in restored)}."

        self._actions.do(job)


def _common_note(runs: Sequence[RunRow]) -> str:
    """The note that all these runs have, "" where they differ."""
    return runs[0].note if len({run.note for run in runs}) == 1 else ""
