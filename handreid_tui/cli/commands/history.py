"""Commands on existing runs: list, show, follow, stop, resume, order, remove, label."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.contract.errors import UserError
from handreid_tui.cli.options import (
    Db,
    Json,
    OnAgain,
    Run,
    Runs,
    Sbatch,
    Several,
    SomeRuns,
    places,
    runs_there_are,
    slurm_request,
)


def list_runs(
    filter: Annotated[
        str,
        typer.Option(
            "--filter",
            "-f",
            metavar="FILTER",
            help="Only matching runs, such as `combo:ce_arcface mAP>0.9 -status:failed`.",
        ),
    ] = "",
    all: Annotated[bool, typer.Option("--all", help="Include archived runs.")] = False,
    as_json: Json = False,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """List the runs, newest first.

    Example: `handreid runs --filter "combo:ce_arcface mAP>0.9"`
    """
    from handreid_tui.cli.runs import show_runs

    show_runs(runs_there_are(db, runs), filter, all, as_json)


def show(run: Run, as_json: Json = False, db: Db = None, runs: Runs = None) -> None:
    """Show one run: settings, progress and results.

    Example: `handreid show last`
    """
    from handreid_tui.cli.runs import show_run

    show_run(runs_there_are(db, runs), run, as_json)


def logs(
    run: Run,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow the output until the run ends.")] = False,
    runs: Runs = None,
) -> None:
    """Print the output of the trainer.

    Example: `handreid logs last --follow`
    """
    from handreid_tui.cli.runs import show_log

    show_log(places(None, runs), run, follow)


def stop(
    run: Several,
    kill: Annotated[bool, typer.Option("--kill", help="Kill at once, without a checkpoint.")] = False,
    runs: Runs = None,
) -> None:
    """Stop running runs after the current step, with a checkpoint; remove queued runs from the queue.

    Example: `handreid stop 12-40`
    """
    from handreid_tui.cli.change_runs import stop_runs
    from handreid_tui.cli.sweep_names import apart
    from handreid_tui.cli.sweeps import stop_sweep

    chosen, (sweeps, others) = places(None, runs), apart(run)
    for number in sweeps:
        stop_sweep(chosen, number)
    if others:
        stop_runs(chosen, others, kill)


def resume(
    run: Several,
    on: OnAgain = None,
    sbatch: Sbatch = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return at once; the queue continues in the background.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="New location of the data set, if it was moved.", show_default="as before"),
    ] = None,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Resume stopped, failed or lost runs from their last checkpoint.

    Example: `handreid resume 12-40 --detach`
    """
    from handreid_tui.cli.change_runs import resume_runs
    from handreid_tui.cli.sweep_names import apart
    from handreid_tui.cli.sweeps import resume_sweep
    from handreid_tui.launch.slurm.request import SlurmRequest
    from handreid_tui.settings import read_user_file

    user, (sweeps, others) = read_user_file(), apart(run)
    for number in sweeps:
        resume_sweep(runs_there_are(db, runs, user), number)
    if not others:
        return
    slurm_request(user, on or "slurm", None, sbatch)  # for the errors that it raises
    slurm = (user.slurm or SlurmRequest()).changed(None, sbatch or [])
    raise typer.Exit(resume_runs(runs_there_are(db, runs, user), others, on, slurm, detach, data))


def queue(
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="Queued run to move: run number, name prefix, or `last`."),
    ] = None,
    up: Annotated[bool, typer.Option("--up", help="Move the run one position forward.")] = False,
    down: Annotated[bool, typer.Option("--down", help="Move the run one position back.")] = False,
    priority: Annotated[
        int | None, typer.Option(help="New priority of the run: higher starts first.", show_default="unchanged")
    ] = None,
    as_json: Json = False,
    runs: Runs = None,
) -> None:
    """List the queued runs in order, or move one.

    Examples: `handreid queue` · `handreid queue 12 --up`
    """
    from handreid_tui.cli.queue import change_order, show_queue

    chosen = places(None, runs)
    if run:
        change_order(chosen, run, up, down, priority)
    elif up or down or priority is not None:
        raise UserError("Name the queued run to move: `handreid queue 12 --up`.")
    show_queue(chosen, as_json)


def rm(
    run: SomeRuns = None,
    purge: Annotated[bool, typer.Option("--purge", help="Delete permanently; without RUN, empty the trash.")] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Restore from the trash; without RUN, the most recently deleted.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Move runs to the trash, where they stay for 30 days.

    Examples: `handreid rm 12-40 --yes` · `handreid rm @3` · `handreid rm --undo` · `handreid rm --purge`
    """
    from handreid_tui.cli.change_runs import purge_runs, remove_runs, restore_runs
    from handreid_tui.cli.sweep_names import apart
    from handreid_tui.cli.sweeps import purge_sweep, trash_sweep, trashed_runs_of
    from handreid_tui.cli.up_to_date import up_to_date

    chosen = runs_there_are(db, runs)
    if purge and undo:
        raise UserError("Give --purge or --undo, not both.")
    if not run and not (purge or undo):
        raise UserError("Name the runs to move to the trash: `handreid rm 12-40`.")
    sweeps, others = apart(run or [])
    if undo:
        restore_runs(chosen, others + [name for number in sweeps for name in trashed_runs_of(chosen, number)])
        return
    for number in sweeps:
        (purge_sweep if purge else trash_sweep)(chosen, number, yes)
    if sweeps:
        up_to_date(chosen)
    if others or not sweeps:
        (purge_runs if purge else remove_runs)(chosen, others, yes)


def prune(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Free disk space: delete all checkpoints of finished runs except the best."""
    from handreid_tui.cli.change_runs import prune_runs

    prune_runs(runs_there_are(db, runs), yes)


def tag(
    run: Run,
    name: Annotated[str, typer.Argument(metavar="TAG", help="Tag to add.")],
    remove: Annotated[bool, typer.Option("--remove", help="Remove the tag instead.")] = False,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Add a tag to a run, or remove one.

    Example: `handreid tag last paper`
    """
    from handreid_tui.cli.change_runs import tag_run

    tag_run(runs_there_are(db, runs), run, name, remove)


def note(
    run: Run,
    text: Annotated[str, typer.Argument(metavar="NOTE", help="Text of the note; it replaces the earlier one.")],
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Set the note of a run.

    Example: `handreid note last "margin 0.5, lights off"`
    """
    from handreid_tui.cli.change_runs import edit_run
    from handreid_tui.history import set_note

    edit_run(runs_there_are(db, runs), run, lambda history, number: set_note(history, number, text))


def rebuild(db: Db = None, runs: Runs = None) -> None:
    """Rebuild the run history from the run directories."""
    from handreid_tui.cli.change_runs import rebuild_history

    rebuild_history(runs_there_are(db, runs))
