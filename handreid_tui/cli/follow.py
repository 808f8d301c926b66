"""Follows runs from the terminal: a live display on stderr, or plain lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import nullcontext

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from engine.contract.errors import UserError
from engine.contract.events import EndReason, EvaluationDone, Event, PromptStep, RunStarted, TrainerMessage
from engine.contract.metrics import Metric, metrics_of
from handreid_tui.cli.controls import with_option
from handreid_tui.launch import lifecycle
from handreid_tui.runs.progress import RunProgress
from handreid_tui.runs.state import FINAL, observe
from handreid_tui.text.numbers import duration, metric_text
from handreid_tui.text.tables import stderr

POLL_SECONDS = 0.2


def follow(runs: list[RunProgress], on_end: Callable[[RunProgress], None]) -> bool:
    """Watch the runs until all have ended and say how; `on_end` hears of each as it does. Returns whether Ctrl-C came.

    The first Ctrl-C stops the runs cleanly, a second one kills their trainers. What a user got wrong (a failure of the
    kind `usage`) is left to the caller to say. What `runs` have read before is not shown again.
    """
    console = stderr()
    live = None
    if console.is_terminal:  # what is printed on stdout passes the display by, unless both are this terminal
        live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=sys.stdout.isatty())
    waiting, interrupts, look_again = list(runs), 0, 0.0
    with live or nullcontext():
        while waiting:
            began = time.monotonic()
            try:
                for run in list(waiting):
                    if _look(run, print_events=not live):
                        waiting.remove(run)
                        if run.reason.kind != "usage":
                            style = "" if run.status in ("finished", "stopped") else "bold red"
                            console.print(how_ended(run), style=style, soft_wrap=True)
                        on_end(run)
                if live:
                    live.update(_screen(runs, interrupts), refresh=True)
                if time.monotonic() > look_again:  # should the supervisor have been killed
                    lifecycle.ensure_supervised({run.path.parent.absolute() for run in waiting})
                    look_again = time.monotonic() + 5
                if waiting:
                    time.sleep(max(POLL_SECONDS, 10 * (time.monotonic() - began)))  # a tenth of a core at most
            except KeyboardInterrupt:
                interrupts += 1
                try:
                    lifecycle.stop_all([run.path for run in waiting], kill=interrupts > 1)
                except UserError as error:
                    console.print(f"{error} Still following; Ctrl-C tries again.")
                    interrupts -= 1
    return interrupts > 0


def how_ended(run: RunProgress) -> str:
    message = with_option(run.reason.message, run.reason.setting)
    return f"{run.path.name}: {run.status}{': ' if message else ''}{message}"


def _look(run: RunProgress, print_events: bool) -> bool:
    """Read what is new of a run; whether it is over, by its events or, for a trainer that was killed, by its files."""
    state = observe(run.path)  # before its events: those of a run that has ended are all there then
    if state.status == "queued" or (not state.final and run.status not in FINAL):
        run.status = state.status
    for event in run.catch_up() if state.status != "queued" else ():
        if print_events and (line := _line(run, event)):
            print(f"{run.path.name}: {line}", file=sys.stderr, flush=True)
    if state.final and run.status not in FINAL:
        run.status, run.reason = state.status, EndReason("process", state.reason)
    return state.final


def _line(run: RunProgress, event: Event) -> str | None:
    match event:
        case RunStarted():
            return f"started on {event.device_name}, {event.train_images} training images"
        case EvaluationDone(stage="validation"):
            losses = " ".join(f"{name} {value:.3f}" for name, value in run.terms.items())
            scores = " ".join(f"{one.title} {value}" for one, value in _scores(event).items())
            left = f", {duration(run.seconds_left)} left" if run.seconds_left else ""
            speed = f"{run.images_per_s:.0f} images/s{left}"
            return f"epoch {event.epoch}/{_epochs(run)} {losses} validation {scores} {speed}"
        case PromptStep():
            return _prompt_line(run, event)
        case TrainerMessage():
            return event.text
    return None


def _prompt_line(run: RunProgress, event: PromptStep) -> str | None:
    """A line for each tenth of the first stage."""
    steps = (run.started.prompt_steps if run.started else None) or 1
    tenth = event.step * 10 // steps
    if tenth == run.prompt_tenth:
        return None
    run.prompt_tenth = tenth
    losses = " ".join(f"{name} {value:.3f}" for name, value in (event.terms or {}).items())
    return f"prompts: epoch {event.epoch}/{_prompt_epochs(run)} {losses}"


def _prompt_epochs(run: RunProgress) -> int | None:
    return run.started.prompt_epochs if run.started else None


def _scores(event: EvaluationDone | None) -> dict[Metric, str]:
    """The main metrics of an evaluation, as text."""
    metrics = (event.metrics if event else None) or {}
    return {metric: metric_text(metric, metrics.get(metric.key)) for metric in metrics_of("report", 1)}


def _epochs(run: RunProgress) -> int | None:
    return run.started.epochs if run.started else None


def _screen(runs: Iterable[RunProgress], interrupts: int) -> Group:
    """The runs that go on, a line each, and how many others there are: with a thousand in the queue, that is enough."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("run", "", "epoch", "losses"):
        table.add_column(column, no_wrap=True)
    for column in (*(f"val {metric.title}" for metric in metrics_of("report", 1)), "images/s"):
        table.add_column(column, no_wrap=True, justify="right")
    table.add_column("left", no_wrap=True)
    going = [run for run in runs if run.status in ("starting", "running")]
    for run in going:
        table.add_row(*_row(run))
    count = Counter(run.status for run in runs)
    others = " · ".join(f"{count[status]} {status}" for status in ("queued", *FINAL) if count[status])
    notes = [Text(each.text or "", style="yellow") for run in going for each in run.messages[-1:]]
    if interrupts:
        notes.append(Text("Stopping after this step. Ctrl-C again kills.", style="bold yellow"))
    return Group(*([table] if going else []), *([Text(others, style="dim")] if others else []), *notes)


def _row(run: RunProgress) -> list[Text | str | ProgressBar]:
    if run.status == "starting" or not run.started:
        return [run.path.name, Text(run.status, style="dim")]
    steps, done = run.started.steps, run.step + 1 if run.total is not None else 0
    epoch, losses = f"{run.epoch}/{_epochs(run)}", run.terms
    if run.prompt:  # the first stage
        steps, done = run.started.prompt_steps, run.prompt.step + 1
        epoch, losses = f"prompts {run.prompt.epoch}/{_prompt_epochs(run)}", run.prompt.terms or {}
    terms = "  ".join(f"{name} {value:.2f}" for name, value in losses.items())
    return [
        run.path.name,
        ProgressBar(total=max(steps or 0, 1), completed=done, width=12),
        epoch,
        Text(terms, no_wrap=True, overflow="ellipsis"),
        *_scores(run.stages.get("validation")).values(),
        f"{run.images_per_s:.0f}",
        duration(run.seconds_left),
    ]
