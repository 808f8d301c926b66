"""Commands on runs that exist: list, show, follow, stop, resume, order, remove, label."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.contract.errors import UserError
from handreid_tui.cli.options import (
    Db,
    Json,
    On,
    Run,
    Runs,
    Sbatch,
    Several,
    places,
    runs_there_are,
    slurm_request,
)
from handreid_tui.launch.slurm.request import Request
from handreid_tui.settings import read_user_file


def list_runs(
    filter: Annotated[
        str, typer.Option("--filter", "-f", help="Such as `combo:ce_arcface mAP>0.9 -status:failed`.")
    ] = "",
    all: Annotated[bool, typer.Option("--all", help="Archived runs too.")] = False,
    as_json: Json = False,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Every run, the newest first."""
    from handreid_tui.cli.runs import show_runs

    show_runs(runs_there_are(db, runs), filter, all, as_json)


def show(run: Run, as_json: Json = False, db: Db = None, runs: Runs = None) -> None:
    """One run: what it is, how it went, and what it reached."""
    from handreid_tui.cli.runs import show_run

    show_run(runs_there_are(db, runs), run, as_json)


def logs(
    run: Run,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    runs: Runs = None,
) -> None:
    """What the trainer printed."""
    from handreid_tui.cli.runs import show_log

    show_log(places(None, runs), run, follow)


def stop(
    run: Several,
    kill: Annotated[bool, typer.Option("--kill", help="Do not wait for the end of the step.")] = False,
    runs: Runs = None,
) -> None:
    """Stop runs after their step, with a checkpoint; or take them out of the queue."""
    from handreid_tui.cli.runs import stop_runs
    from handreid_tui.cli.sweeps import apart, stop_sweep

    chosen, (sweeps, others) = places(None, runs), apart(run)
    for number in sweeps:
        stop_sweep(chosen, number)
    if others:
        stop_runs(chosen, others, kill)


def resume(
    run: Several,
    on: On = None,
    sbatch: Sbatch = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return at once.")] = False,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Continue stopped, failed or lost runs from their last checkpoint."""
    from handreid_tui.cli.runs import resume_runs
    from handreid_tui.cli.sweeps import apart, resume_sweep

    user, (sweeps, others) = read_user_file(), apart(run)
    for number in sweeps:
        resume_sweep(runs_there_are(db, runs, user), number)
    if not others:
        return
    slurm_request(user, on or "slurm", None, sbatch)  # for its complaints
    slurm = (user.slurm or Request()).changed(None, sbatch or [])
    raise typer.Exit(resume_runs(runs_there_are(db, runs, user), others, on, slurm, detach))


def queue(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="A waiting run, to move it.")] = None,
    up: Annotated[bool, typer.Option("--up", help="One place forward.")] = False,
    down: Annotated[bool, typer.Option("--down", help="One place back.")] = False,
    priority: Annotated[int | None, typer.Option(help="Higher goes first.")] = None,
    as_json: Json = False,
    runs: Runs = None,
) -> None:
    """The runs that wait, in their order."""
    from handreid_tui.cli.queue import change_order, show_queue

    chosen = places(None, runs)
    if run:
        change_order(chosen, run, up, down, priority)
    elif up or down or priority is not None:
        raise UserError("Say which waiting run is to move: `handreid queue 12 --up`.")
    show_queue(chosen, as_json)


def rm(
    run: Several,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Delete runs, with everything they hold. @3 is a sweep, with all its runs."""
    from handreid_tui.cli.runs import remove_runs
    from handreid_tui.cli.sweeps import apart, remove_sweep

    chosen, (sweeps, others) = runs_there_are(db, runs), apart(run)
    for number in sweeps:
        remove_sweep(chosen, number, yes)
    if others:
        remove_runs(chosen, others, yes)


def prune(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False, db: Db = None, runs: Runs = None
) -> None:
    """Free what finished runs do not need: every checkpoint but the best."""
    from handreid_tui.cli.runs import prune_runs

    prune_runs(runs_there_are(db, runs), yes)


def tag(
    run: Run,
    name: Annotated[str, typer.Argument(help="The tag.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take the tag off.")] = False,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Put a tag on a run."""
    from handreid_tui.cli.runs import tag_run

    tag_run(runs_there_are(db, runs), run, name, remove)


def note(run: Run, text: Annotated[str, typer.Argument(help="The note.")], db: Db = None, runs: Runs = None) -> None:
    """Write a note on a run."""
    from handreid_tui.cli.runs import edit_run
    from handreid_tui.history import set_note

    edit_run(runs_there_are(db, runs), run, lambda history, number: set_note(history, number, text))


def rebuild(db: Db = None, runs: Runs = None) -> None:
    """Make the run history anew from the run directories."""
    from handreid_tui.cli.runs import rebuild_history

    rebuild_history(runs_there_are(db, runs))
