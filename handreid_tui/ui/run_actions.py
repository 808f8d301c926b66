"""Stop and resume, with the same functions as the command line, for every page that shows runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.data.wording import count
from handreid_tui.text import run_text
from handreid_tui.ui.background import Latest
from handreid_tui.ui.page import Page

if TYPE_CHECKING:
    from handreid_tui.history import RunRow

Job = Callable[[], str]


class RunActions:
    """Does something to runs on behalf of a page, and reports there how it went."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def do(self, job: Job) -> None:
        """Run `job` in a thread; it returns what to report, or raises UserError."""
        page = self._page
        Latest[Job, str](page, lambda work: work(), self._did, lambda text: page.say(text, wrong=True)).ask(job)

    def _did(self, text: str) -> None:
        if text:
            self._page.say(text)
        self._page.handreid.look_again()

    def stop(self, selected: Sequence[RunRow]) -> None:
        """Ask, then stop those of the selected runs that are running or queued."""
        runs = [run for run in selected if run_text.is_active(run) or run.status == "queued"]
        if not runs:
            self._page.say("Nothing to stop: none of the selected runs is running or queued.")
            return

        from handreid_tui.ui.dialogs import Confirm

        def answered(yes: bool | None) -> None:
            if yes:
                self._page.handreid.endings.expected.update(run.number for run in runs)
                self.do(lambda: _stop(runs))

        self._page.app.push_screen(Confirm("Stop", _question(runs), "Stop"), answered)

    def stop_sweep(self, runs: Path, number: int) -> None:
        """Ask, then stop a sweep: its running trials after their step, its queued ones at once."""
        from handreid_tui.ui.dialogs import Confirm

        def job() -> str:
            from handreid_tui.sweeps import actions

            return f"Sweep @{number} stopped ({count(actions.stop(runs, number), 'run')})."

        def answered(yes: bool | None) -> None:
            if yes:
                self.do(job)

        question = f"Stop sweep @{number}? Running trials finish the current step and write a checkpoint; r resumes it."
        self._page.app.push_screen(Confirm("Stop", question, "Stop"), answered)

    def resume_sweep(self, runs: Path, number: int) -> None:
        """Continue a stopped sweep."""

        def job() -> str:
            from handreid_tui.sweeps import actions

            return f"Sweep @{number} resumed ({count(actions.resume(runs, number), 'run')})."

        self.do(job)

    def resume(self, selected: Sequence[RunRow]) -> None:
        """Resume those of the selected runs that were stopped, failed or lost."""
        runs = [run for run in selected if run.status in ("stopped", "failed", "lost")]
        if not runs:
            self._page.say("Nothing to resume: none of the selected runs was stopped, failed or lost.")
            return
        self.do(lambda: _resume(runs))


def _question(runs: Sequence[RunRow]) -> str:
    """A run that waits has no step to finish."""
    stops, leaves = "finishes the current step and writes a checkpoint", "is removed from the queue"
    going = [run for run in runs if run_text.is_active(run)]
    if 0 < len(going) < len(runs):
        effect = f"Each running one {stops}; each queued one {leaves}"
    else:
        effect = f"{'It' if len(runs) == 1 else 'Each'} {stops if going else leaves}"
    return f"Stop {run_text.names(runs)}? {effect}; r resumes it."


def _stop(runs: Sequence[RunRow]) -> str:
    from handreid_tui.launch import lifecycle

    did = set(lifecycle.stop_all([run.path for run in runs]).values())
    outcomes = {"withdrawn": "removed from the queue", "stopping": "stopping", "killed": "killed"}
    return f"{run_text.counted(runs)}: {', '.join(outcomes[each] for each in sorted(did)) or 'already ended'}."


def _resume(runs: Sequence[RunRow]) -> str:
    from handreid_tui.launch import lifecycle
    from handreid_tui.launch.slurm.request import SlurmRequest
    from handreid_tui.settings import read_user_file

    there = {run.path for run in runs if lifecycle.was_on_slurm(run.path)}
    here = [run.path for run in runs if run.path not in there]
    notes = []
    if there:
        notes += lifecycle.resume(
            [run.path for run in runs if run.path in there], slurm=read_user_file().slurm or SlurmRequest()
        )
    if here:
        notes += lifecycle.resume(here)
    return " ".join([f"{run_text.counted(runs)}: queued to resume from the last checkpoint.", *notes])
