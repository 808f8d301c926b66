"""What is running and what is queued, in the order of the queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from handreid_tui.text import run_text
from handreid_tui.text.numbers import duration
from handreid_tui.text.run_labels import run_labels
from handreid_tui.ui.background import Latest
from handreid_tui.ui.history_feed import Snapshot
from handreid_tui.ui.keymap import named
from handreid_tui.ui.table import Cell, Column, RowTable

if TYPE_CHECKING:
    from handreid_tui.history import RunRow

COLUMNS = (
    Column("run", "run", 5, True),
    Column("combo", "combination", 30),
    Column("seed", "seed", 4, True, drop=1),
    Column("status", "status", 12),
    Column("progress", "", 20, drop=2),
    Column("left", "time left", 9, True, drop=1),
    Column("word", "", 10, drop=3, rest=True),
)
EMPTY = "Queue empty"


class QueueTable(RowTable[int]):
    """Running runs, then queued ones, the next one first."""

    BINDING_GROUP_TITLE = "Queue"
    BINDINGS: ClassVar[list[BindingType]] = named(
        "queue",
        [
            Binding("K,shift+up", "screen.move_in_queue(True)", "Earlier", tooltip="Move the run up in the queue"),
            Binding("J,shift+down", "screen.move_in_queue(False)", "Later", tooltip="Move the run down in the queue"),
            Binding("s", "screen.stop", "Stop", tooltip="Stop the run, or remove it from the queue"),
            Binding("enter", "screen.watch", "Watch", tooltip="Open the run in Live"),
        ],
    )

    def __init__(self, folder: Path) -> None:
        super().__init__(COLUMNS, self._of, title="Queue", empty=EMPTY, id="queue")
        self._runs: Mapping[int, RunRow] = {}
        self._waiting: dict[int, str] = {}
        self._labels: dict[int, str] = {}
        self._reader: Latest[None, dict[int, str]] = Latest(
            self, lambda _: _waiting(folder), self._show, lambda _: None
        )

    def on_mount(self) -> None:
        self.set_interval(5.0, self._read_again)  # Slurm changes its reasons without a change of the run

    def _read_again(self) -> None:
        if any(run.status == "queued" for run in self._runs.values()):
            self._reader.ask(None)

    def show_queue(self, snapshot: Snapshot) -> None:
        """Show the runs that are running or queued; the order of the queue is read in a thread."""
        self._runs = runs = snapshot.runs
        unfinished = [run for run in runs.values() if run_text.is_active(run) or run.status == "queued"]
        if (numbers := [run.number for run in unfinished]) != list(self._labels):
            self._labels = run_labels(unfinished, snapshot.settings, seeds=False)
            assert list(self._labels) == numbers
        self.set_empty(EMPTY)
        self._show(self._waiting)
        self._read_again()

    def _show(self, order: dict[int, str]) -> None:
        self._waiting, runs = order, self._runs
        going = [number for number, run in runs.items() if run_text.is_active(run)]
        place = {number: at for at, number in enumerate(order)}
        waiting = [number for number, run in runs.items() if run.status == "queued"]
        self.show([*going, *sorted(waiting, key=lambda number: place.get(number, len(place)))])
        self.set_word(f"{len(going)} running · {len(waiting)} queued" if going or waiting else "")

    def _of(self, number: int) -> Sequence[Cell]:
        run = self._runs[number]
        mark, style = run_text.sign(run)
        bar: Cell = ""
        if run_text.is_active(run):
            done, rest = run_text.bar(run_text.share_done(run), 12)
            bar = (f"{done}{' ' * len(rest)} {run_text.epochs(run)}", "primary")
        left = run_text.seconds_left(run)
        return (
            str(number),
            (self._labels.get(number, run.combo), "bold"),
            (str(run.seed), "secondary"),
            (f"{mark} {run_text.status(run)}", style.removeprefix("$")),
            bar,
            duration(left) if left is not None else "",
            (run.reason or self._waiting.get(number) or run.device, "secondary"),
        )


def _waiting(folder: Path) -> dict[int, str]:
    """The numbers of the waiting runs, the next one first, those on Slurm last; with what Slurm says of these."""
    from handreid_tui.launch import queue
    from handreid_tui.launch.slurm.sync import why_waiting
    from handreid_tui.runs import directory

    here, there = queue.waiting(folder), queue.waiting(folder, queue.SLURM)
    why = why_waiting(folder) if there else {}
    return {directory.number(run.path): why.get(run.path.name, "") for run in [*here, *there]}
