"""`handreid runs`, `show`, `logs`, `stop`, `resume`, `rm`, `prune`, `tag`, `note`, `rebuild`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from engine.contract import run_files
from engine.contract.errors import UserError
from engine.contract.events import EndReason
from engine.contract.metrics import Stage, metrics_of
from engine.data.wording import count
from handreid_tui import history as past
from handreid_tui.cli.agree import agree
from handreid_tui.cli.follow import follow, how_ended
from handreid_tui.history.collector import collector_paused
from handreid_tui.history.filter import parse_filter
from handreid_tui.history.filter_values import matching, missing_settings, read_settings
from handreid_tui.history.rebuild import rebuild
from handreid_tui.history.varying import varying_settings
from handreid_tui.launch import lifecycle, trash
from handreid_tui.launch.slurm.request import SlurmRequest
from handreid_tui.launch.slurm.sync import take_in
from handreid_tui.runs import directory
from handreid_tui.runs.log_text import LogReader
from handreid_tui.runs.progress import RunProgress
from handreid_tui.runs.select import find_run, find_runs
from handreid_tui.runs.state import observe
from handreid_tui.runs.tags import check_tags
from handreid_tui.settings import Places
from handreid_tui.text import run_text
from handreid_tui.text.numbers import duration, metric_text, size
from handreid_tui.text.run_labels import run_labels
from handreid_tui.text.tables import BOLD, Columns, TextColumn, line, stdout


def up_to_date(places: Places) -> Engine:
    """The run history, with everything that the run directories, and Slurm about them, say by now."""
    take_in(places.runs)
    if (places.runs / run_files.SWEEPS).is_dir():
        from handreid_tui.sweeps.keeper import look_after_sweeps

        try:
            look_after_sweeps(places.runs)
        except UserError as error:
            print(f"Note: {error}", file=sys.stderr)
    opened = past.open_history(places.db)
    for problem in (*directory.left_out(places.runs), *past.ingest(opened, places.runs).problems):
        print(f"Note: {problem}", file=sys.stderr)
    return opened


@collector_paused()
def show_runs(places: Places, filter: str, all: bool, as_json: bool) -> None:
    chosen = parse_filter(filter)
    opened = up_to_date(places)
    settings = read_settings(opened, missing_settings(chosen, {}))
    rows = matching({row.number: row for row in past.list_runs(opened, archived=all)}, chosen, settings)[::-1]
    if as_json:
        print(json.dumps([as_object(row) for row in rows], indent=2))
        return
    if not rows:
        none = f"No runs in {places.runs} yet: start one with `handreid run --combo ce`."
        print("No run matches the filter." if filter else none)
        return
    gives_way = {"data": 4, "subset": 12, "tags": 4}  # where the terminal is narrow
    columns = [
        TextColumn(
            [line(header, BOLD)],
            [[line(text)] for text in texts],
            number=header in ("run", "seed", "time", *(metric.title for metric in metrics_of("report", 1))),
            least=gives_way.get(header),
        )
        for header, texts in _columns(rows, run_labels(rows, varying_settings(opened), seeds=False)).items()
    ]
    stdout().print(Columns(columns))


def _columns(rows: list[past.RunRow], labels: Mapping[int, str]) -> dict[str, list[str]]:
    """The columns of the list."""
    return {
        "run": [str(row.number) for row in rows],
        "combination": [labels[row.number] for row in rows],
        "seed": [str(row.seed) for row in rows],
        "data": [row.dataset.rpartition("/")[2] for row in rows],
        "subset": [row.subset for row in rows],
        "status": [row.status + (" (stalled)" if row.stalled else "") for row in rows],
        **{
            metric.title: [metric_text(metric, row.metrics[metric.key]) for row in rows]
            for metric in metrics_of("report", 1)
        },
        "time": [duration(row.seconds) for row in rows],
        "tags": [" ".join(row.tags) for row in rows],
    }


def as_object(row: past.RunRow) -> dict[str, Any]:
    """A run as the object that `--json` prints."""
    own = {key: value for key, value in asdict(row).items() if key != "metrics"}
    return own | {"path": str(row.path), "protocol": row.protocol, **row.metrics}


def show_run(places: Places, text: str, as_json: bool) -> None:
    opened = up_to_date(places)
    row = past.find_run(opened, text)
    configuration = past.configuration(opened, row.number)
    messages = past.messages(opened, row.number)
    if as_json:
        listed = [message._asdict() for message in messages]
        print(json.dumps(as_object(row) | {"configuration": configuration, "messages": listed}, indent=2))
        return
    out = stdout()
    own = f' "{row.name}"' if row.name != row.path.name else ""
    status = f"{row.status}{': ' + row.reason if row.reason else ''}"
    out.print(Text.assemble((f"Run {row.number}{own}", "bold"), f"  {row.path.name}  {status}"))
    out.print(f"{row.combo}, seed {row.seed}, {row.protocol}")
    made = datetime.fromtimestamp(row.created).strftime("%Y-%m-%d %H:%M") if row.created else "–"
    out.print(f"made {made}, {row.epoch or 0} of {row.epochs or 0} epochs in {duration(row.seconds)} on {row.device}")
    if best := run_text.best_epoch(row):
        out.print(best)
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("%")
    for name in ("raw pixels", "before training", "after"):
        table.add_column(name, justify="right")
    found = past.summary(opened, row.number)
    stages: tuple[Stage, ...] = ("pixels", "before", "final")
    for metric in metrics_of("report"):
        values = (found.get(metric.curve(stage)) for stage in stages)
        table.add_row(metric.title, *(metric_text(metric, value.last if value else None) for value in values))
    out.print(table)
    if row.tags or row.note:
        out.print(" ".join(f"#{tag}" for tag in row.tags), row.note)
    for message in messages:
        out.print(f"{message.level}: {message.text}")
    settings = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for key, value in configuration.items():
        settings.add_row(key, str(value))
    out.print(settings)


def show_log(places: Places, text: str, follow_it: bool) -> None:
    """Print trainer.log as a terminal would show it; with `follow_it`, until the run has ended."""
    run = find_run(places.runs, text)
    reader, printed = LogReader(run / run_files.LOG), False
    while True:
        final = observe(run).final
        while (lines := reader.read()) or reader.behind:
            _print_lines(lines)
            printed = True
        if final or not follow_it:
            break
        time.sleep(0.3)
    if rest := reader.rest():
        _print_lines(rest)
    elif not printed:
        print(f"{run.name} has no output yet ({observe(run).status}).", file=sys.stderr)


def _print_lines(lines: list[str]) -> None:
    for each in lines:
        print(each)
    sys.stdout.flush()


def stop_runs(places: Places, texts: list[str], kill: bool) -> None:
    runs = find_runs(places.runs, texts)
    outcomes = {
        "withdrawn": "removed from the queue.",
        "stopping": "stops after the current step; a second stop kills it.",
        "killed": "killed.",
    }
    stopped = {runs[0]: lifecycle.stop(runs[0], kill=kill)} if len(runs) == 1 else lifecycle.stop_all(runs, kill=kill)
    for run, how in stopped.items():
        print(f"{run.name} {outcomes[how]}", file=sys.stderr)
    if not stopped:
        raise UserError(f"None of the {len(runs)} runs is running or queued.")


def resume_runs(
    places: Places, texts: list[str], on: str | None, slurm: SlurmRequest, detach: bool, data: Path | None = None
) -> int:
    """Resume where each run was, or all `on` slurm or here. Of several runs, those that can be resumed."""
    runs = find_runs(places.runs, texts)
    if len(runs) > 1:
        runs = [run for run in runs if observe(run).status in ("stopped", "failed", "lost")]
    there = {run for run in runs if on == "slurm" or (on is None and lifecycle.was_on_slurm(run))}
    here = [run for run in runs if run not in there]
    if not runs:
        raise UserError("None of these runs was stopped, failed or lost.")
    followed = [RunProgress(run) for run in runs]
    for progress in followed:
        progress.catch_up()  # what earlier attempts did, and how they ended, was said before
        progress.status, progress.reason = "queued", EndReason()
    notes = []
    if there:
        notes += lifecycle.resume([run for run in runs if run in there], slurm=slurm, data=data)
    if here:
        notes += lifecycle.resume(here, data=data)
    for note in notes:
        print(f"Note: {note}", file=sys.stderr)
    if detach:
        print(f"{runs[0].name if len(runs) == 1 else f'{len(runs)} runs'} queued.", file=sys.stderr)
        return 0
    interrupted = follow(followed, lambda progress: None)
    up_to_date(places)
    for progress in followed:
        if progress.reason.kind == "usage":
            print(how_ended(progress), file=sys.stderr)
    return 130 if interrupted else 0 if all(progress.status == "finished" for progress in followed) else 1


def remove_runs(places: Places, texts: list[str], yes: bool) -> None:
    runs = find_runs(places.runs, texts)
    names = ", ".join(run.name for run in runs)
    _note_dependents(runs)
    agree(f"Move {names} to the trash?", yes, "Nothing was moved.")
    trash.trash(runs)
    _follow(places)
    print(f"Moved {names} to the trash for 30 days: `handreid rm --undo` restores, `--purge` frees.", file=sys.stderr)


def purge_runs(places: Places, texts: list[str], yes: bool) -> None:
    """Delete runs for good; without runs, everything in the trash."""
    in_trash = trash.trashed(places.runs)
    runs = find_runs(places.runs, texts) if texts else in_trash
    if not runs:
        print("The trash is empty.", file=sys.stderr)
        return
    _note_dependents(runs)
    names = ", ".join(run.name for run in runs)
    freed = size(sum(lifecycle.size(run) for run in runs))
    agree(f"Delete {names} ({freed}) with checkpoints and results, permanently?", yes, "Nothing was deleted.")
    if texts:
        lifecycle.remove_all(runs)
        _follow(places)
    else:
        trash.purge(runs)
    print(f"Deleted {names}: {freed} freed.", file=sys.stderr)


def _note_dependents(runs: list[Path]) -> None:
    from handreid_tui.launch.dependents import dependents  # reads configurations: 0.1 s

    for each in dependents(runs):
        print(f"Note: {each.sentence}", file=sys.stderr)


def restore_runs(places: Places, texts: list[str]) -> None:
    """Bring runs back from the trash; without runs, those that were moved there last."""
    folder = places.runs / run_files.TRASH
    runs = find_runs(folder, texts) if texts else trash.last_trashed(places.runs)
    if not runs:
        raise UserError("The trash is empty: there is nothing to restore.")
    restored = trash.restore(runs)
    _follow(places)
    print(f"Restored {', '.join(run.name for run in restored)}.", file=sys.stderr)


def _follow(places: Places) -> None:
    """Bring the history up to folders that have changed; where it cannot be written, the next command does."""
    try:
        up_to_date(places).dispose()
    except UserError as error:
        print(f"Note: {error}", file=sys.stderr)


def prune_runs(places: Places, yes: bool) -> None:
    spare = lifecycle.prunable(directory.list_runs(places.runs))
    if not spare:
        print("Nothing to free: finished runs keep only their best checkpoint.", file=sys.stderr)
        return
    agree(
        f"Delete spare checkpoints of {count(len(spare), 'finished run')} ({size(sum(spare.values()))})?",
        yes,
        "Nothing was deleted.",
    )
    print(f"{size(lifecycle.prune(spare))} freed.", file=sys.stderr)


def edit_run(places: Places, text: str, change: Callable[[Engine, int], None]) -> None:
    """Change what a user noted about a run: `change` gets the history and the run's number."""
    opened = up_to_date(places)
    change(opened, past.find_run(opened, text).number)


def tag_run(places: Places, text: str, tag: str, remove: bool) -> None:
    """Put a tag on a run, or take it off. Raises UserError where it is no word, or not there."""
    if not remove:
        check_tags([tag])
    opened = up_to_date(places)
    row = past.find_run(opened, text)
    if remove and tag not in row.tags:
        raise UserError(f"Run {row.number} has no tag {tag!r}, but {', '.join(row.tags) or 'none at all'}.")
    (past.remove_tag if remove else past.add_tag)(opened, row.number, tag)


def rebuild_history(places: Places) -> None:
    report = rebuild(places.db, places.runs)
    damaged = f", {count(report.damaged, 'damaged line')} left out" if report.damaged else ""
    print(f"{places.db}: {count(report.runs, 'run')}, {count(report.events, 'event')}{damaged}.", file=sys.stderr)
    for problem in (*directory.left_out(places.runs), *report.problems):
        print(f"Note: {problem}", file=sys.stderr)
