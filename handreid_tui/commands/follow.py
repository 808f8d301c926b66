"""Follows runs from the terminal: a live display on stderr, or plain lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from engine.errors import UserError
from handreid_tui.formatting import duration, percent
from handreid_tui.launch import control
from handreid_tui.progress import Progress
from handreid_tui.state import observe

POLL_SECONDS = 0.2


def follow(paths: list[Path], on_end: Callable[[Progress], None]) -> tuple[list[Progress], bool]:
    """Watch the runs until all have ended; `on_end` hears of each as it does. Returns them, and whether Ctrl-C came.

    The first Ctrl-C stops the runs cleanly, a second one kills their trainers.
    """
    console = Console(stderr=True)
    runs = [Progress(path) for path in paths]
    waiting, interrupts, look_again = list(runs), 0, 0.0
    with Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else _Lines() as display:
        while waiting:
            try:
                for run in waiting:
                    for event in run.catch_up():
                        display.event(run, event) if isinstance(display, _Lines) else None
                for run in [run for run in waiting if _ended(run)]:
                    waiting.remove(run)
                    on_end(run)
                if isinstance(display, Live):
                    display.update(_screen(runs, interrupts), refresh=True)
                if time.monotonic() > look_again:  # should the supervisor have been killed
                    control.ensure_supervised({run.path.parent.absolute() for run in waiting})
                    look_again = time.monotonic() + 5
                time.sleep(POLL_SECONDS)
            except KeyboardInterrupt:
                interrupts += 1
                try:
                    control.stop_all([run.path for run in waiting], kill=interrupts > 1)
                except UserError as error:
                    console.print(f"{error} Following goes on; Ctrl-C tries again.", markup=False)
                    interrupts -= 1
    return runs, interrupts > 0


def _ended(run: Progress) -> bool:
    """Whether the run is over, by its events or, for a trainer that was killed, by what its process left."""
    state = observe(run.path)
    if not state.final:
        return False
    run.catch_up()
    if not run.done:
        run.status, run.reason = state.status, {"kind": "process", "message": state.reason}
    return True


class _Lines:
    """Plain lines for logs and pipes: one at the start of a run, one an epoch, one at the end."""

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def event(self, run: Progress, event: dict) -> None:
        if line := _line(run, event):
            print(f"{run.path.name}: {line}", file=sys.stderr, flush=True)


def _line(run: Progress, event: dict) -> str | None:
    match event["kind"]:
        case "started":
            return f"started on {event.get('device_name')}, {event.get('train_images')} training images"
        case "evaluation" if event.get("stage") == "validation":
            losses = " ".join(f"{name} {value:.3f}" for name, value in run.terms.items())
            scores = f"rank-1 {percent(event.get('rank1'))} mAP {percent(event.get('mAP'))}"
            left = f", {duration(run.seconds_left)} left" if run.seconds_left else ""
            speed = f"{run.images_per_s:.0f} images/s{left}"
            return f"epoch {event.get('epoch')}/{run.started.get('epochs')} {losses} validation {scores} {speed}"
        case "message":
            return str(event.get("text"))
        case "ended":
            return f"{run.status}{': ' + run.reason['message'] if run.reason.get('message') else ''}"
    return None


def _screen(runs: Iterable[Progress], interrupts: int) -> Group:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("run", "", "epoch", "losses", "val rank-1", "mAP", "images/s", "left"):
        table.add_column(
            column, no_wrap=True, justify="right" if column in ("val rank-1", "mAP", "images/s") else "left"
        )
    for run in runs:
        table.add_row(*_row(run))
    notes = [Text(str(each.get("text")), style="yellow") for run in runs for each in run.messages[-1:] if not run.done]
    if interrupts:
        notes.append(Text("Stopping after this step. Ctrl-C again kills.", style="bold yellow"))
    return Group(table, *notes)


def _row(run: Progress) -> list[Text | str | ProgressBar]:
    steps = run.started.get("steps") or 0
    validation = run.stages.get("validation", {})
    terms = "  ".join(f"{name} {value:.2f}" for name, value in run.terms.items())
    losses = Text(terms, no_wrap=True, overflow="ellipsis")
    if run.done:
        shown = "green" if run.status == "finished" else "red"
        return [run.path.name, Text(run.status, style=shown), "", "", "", "", "", ""]
    if not run.started:
        return [run.path.name, Text(observe(run.path).status, style="dim"), "", "", "", "", "", ""]
    return [
        run.path.name,
        ProgressBar(total=max(steps, 1), completed=run.step + 1 if run.total is not None else 0, width=12),
        f"{run.epoch}/{run.started.get('epochs')}",
        losses,
        percent(validation.get("rank1")),
        percent(validation.get("mAP")),
        f"{run.images_per_s:.0f}",
        duration(run.seconds_left),
    ]
