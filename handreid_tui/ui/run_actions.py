"""Stop and resume, with the same functions as the command line, for every screen that has a selection of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from handreid_tui.text import run_text
from handreid_tui.ui.background import Latest
from handreid_tui.ui.dialogs import Confirm
from handreid_tui.ui.page import Page

if TYPE_CHECKING:
    from handreid_tui.history import RunRow

Job = Callable[[], str]


class RunPage(Page):
    """A page with runs that can be stopped and resumed. `selected` says which ones are meant."""

    def selected(self) -> Sequence[RunRow]:
        raise NotImplementedError

    def do(self, job: Job) -> None:
        """Do something to runs in a thread, and say how it went. `job` returns what to say, or raises UserError."""
        Latest[Job, str](self, lambda work: work(), self._did, lambda text: self.say(text, wrong=True)).ask(job)

    def _did(self, text: str) -> None:
        if text:
            self.say(text)
        self.handreid.look_again()

    def action_stop(self) -> None:
        runs = [run for run in self.selected() if run_text.is_active(run) or run.status == "queued"]
        if not runs:
            self.say("Nothing to stop: no selected run goes on or waits.")
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self.handreid.endings.expected.update(run.number for run in runs)
                self.do(lambda: _stop(runs))

        self.app.push_screen(Confirm("Stop", _question(runs), "Stop"), answered)

    def action_resume(self) -> None:
        runs = [run for run in self.selected() if run.status in ("stopped", "failed", "lost")]
        if not runs:
            self.say("Nothing to resume: no selected run was stopped, failed or lost.")
            return
        self.do(lambda: _resume(runs))


def _question(runs: Sequence[RunRow]) -> str:
    """A run that waits has no step to finish."""
    stops, leaves = "finishes its step and writes a checkpoint", "only leaves the queue"
    going = [run for run in runs if run_text.is_active(run)]
    if 0 < len(going) < len(runs):
        told = f"Each one that runs {stops}; each one that waits {leaves}"
    else:
        told = f"{'It' if len(runs) == 1 else 'Each'} {stops if going else leaves}"
    return f"Stop {run_text.names(runs)}? {told}; r resumes it."


def _stop(runs: Sequence[RunRow]) -> str:
    from handreid_tui.launch import lifecycle

    did = set(lifecycle.stop_all([run.path for run in runs]).values())
    told = {"withdrawn": "taken out of the queue", "stopping": "stopping", "killed": "killed"}
    return f"{run_text.counted(runs)}: {', '.join(told[each] for each in sorted(did)) or 'ended already'}."


def _resume(runs: Sequence[RunRow]) -> str:
    from handreid_tui.launch import lifecycle
    from handreid_tui.launch.slurm.request import Request
    from handreid_tui.settings import read_user_file

    there = {run.path for run in runs if lifecycle.was_on_slurm(run.path)}
    here = [run.path for run in runs if run.path not in there]
    if there:
        lifecycle.resume([run.path for run in runs if run.path in there], slurm=read_user_file().slurm or Request())
    if here:
        lifecycle.resume(here)
    return f"{run_text.counted(runs)}: queued, to go on from the last checkpoint."
