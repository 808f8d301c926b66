"""Commands that change runs: stop, resume, remove, restore, prune, name, note and tag; and `handreid rebuild`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine

from engine.contract import run_files
from engine.contract.errors import UserError
from engine.contract.events import EndReason
from engine.data.wording import count
from handreid_tui import history as past
from handreid_tui.cli.agree import agree
from handreid_tui.cli.follow import follow, how_ended
from handreid_tui.cli.up_to_date import up_to_date
from handreid_tui.history.rebuild import rebuild
from handreid_tui.launch import lifecycle, trash
from handreid_tui.launch.slurm.request import SlurmRequest
from handreid_tui.runs import directory
from handreid_tui.runs.progress import RunProgress
from handreid_tui.runs.select import find_runs
from handreid_tui.runs.state import observe
from handreid_tui.runs.tags import check_tags
from handreid_tui.settings import Places
from handreid_tui.text.numbers import size


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
