"""What a user changes about runs: tags, note, name, archive, delete. In its directory first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from handreid_tui.text import run_text
from handreid_tui.ui.dialogs import Confirm, Prompt
from handreid_tui.ui.run_actions import RunPage

if TYPE_CHECKING:
    from handreid_tui.history import RunRow


class Edits(RunPage):
    """The editing actions of the page of runs."""

    def _edit(self, runs: Sequence[RunRow], change: Callable[[RunRow], None], said: str) -> None:
        def job() -> str:
            for run in runs:
                change(run)
            return said if len(runs) == 1 else f"{said} ({len(runs)} runs)"

        self.do(job)

    def action_tag(self) -> None:
        if not (runs := self.selected()):
            return
        from handreid_tui.history import set_tags

        history = self.handreid.snapshot.history
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
        self.app.push_screen(Prompt(f"Tags of {run_text.names(runs)}", text, "words, separated by spaces"), answered)

    def action_note(self) -> None:
        if not (runs := self.selected()):
            return
        from handreid_tui.history import set_note

        history = self.handreid.snapshot.history
        notes = {run.note for run in runs}
        common = runs[0].note if len(notes) == 1 else ""

        def answered(text: str | None) -> None:
            if text is not None and text != common:
                self._edit(runs, lambda run: set_note(history, run.number, text), "Noted.")

        hint = "the notes differ: what you write here takes their place" if len(notes) > 1 else ""
        self.app.push_screen(Prompt(f"Note on {run_text.names(runs)}", common, hint), answered)

    def action_name(self) -> None:
        if not (runs := self.selected()[:1]):
            return
        from handreid_tui.history import set_name

        history, run = self.handreid.snapshot.history, runs[0]
        own = "" if run.name == run.path.name else run.name

        def answered(text: str | None) -> None:
            if text is not None:
                self._edit(runs, lambda run: set_name(history, run.number, text), "Renamed.")

        self.app.push_screen(Prompt(f"Name of run {run.number}", own, "empty: the name of its folder"), answered)

    def action_archive(self) -> None:
        runs = self.selected()
        if runs:
            from handreid_tui.history import archive

            hide = not all(run.archived for run in runs)
            history = self.handreid.snapshot.history
            said = "Archived; A shows archived runs." if hide else "Taken back from the archive."
            self._edit(runs, lambda run: archive(history, run.number, hide), said)

    def action_delete(self) -> None:
        if not (runs := self.selected()):
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self.do(lambda: _delete(runs))

        question = f"Delete {run_text.names(runs)} with checkpoints, events and results? It cannot be taken back."
        self.app.push_screen(Confirm("Delete", question, "Delete"), answered)


def _delete(runs: Sequence[RunRow]) -> str:
    from handreid_tui.launch import lifecycle
    from handreid_tui.text.numbers import size

    freed = lifecycle.remove_all(run.path for run in runs)
    return f"Deleted {run_text.counted(runs)}: {size(freed)} freed."
