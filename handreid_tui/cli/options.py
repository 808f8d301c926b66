"""Options that several commands share, and where a command works."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.contract.errors import UserError
from handreid_tui.launch.slurm.request import Request
from handreid_tui.settings import Places, UserFile, choose_places, read_user_file


def _or_before(context: typer.Context, option: typer.CallbackParam, value: Path | None) -> Path | None:
    """The value of an option that may also precede the command, as in `handreid --runs DIR rm 4`."""
    return value or (context.parent.params.get(option.name or "") if context.parent else None)


Db = Annotated[
    Path | None,
    typer.Option("--db", callback=_or_before, help="Run history [default: $HANDREID_DB, or ./runs.db]"),
]
Runs = Annotated[
    Path | None,
    typer.Option("--runs", callback=_or_before, help="Run directories [default: $HANDREID_RUNS, or ./runs]"),
]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, everything else on stderr.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A number, the beginning of a name, or `last`.")]
Several = Annotated[list[str], typer.Argument(metavar="RUN...", help="As elsewhere, or from-to: 12-40.")]
On = Annotated[str | None, typer.Option("--on", help="here, or slurm [default: here; a resumed run, where it was]")]
Sbatch = Annotated[list[str] | None, typer.Option(metavar="OPTION", help="For sbatch, like --time=4:00:00. Repeats.")]
Names = Annotated[list[str] | None, typer.Argument(metavar="[RUN...]", help="Runs [default: all finished ones].")]
By = Annotated[str | None, typer.Option(help="combo: runs of one combination in a row. run: a row each.")]
Baseline = Annotated[str, typer.Option(help="Combination that the others are compared with.")]


def slurm_request(user: UserFile, on: str, gpus: float | None, options: list[str] | None) -> Request | None:
    """What to ask of Slurm, None where a run stays here."""
    if on == "slurm":
        return (user.slurm or Request()).changed(gpus, options or [])
    if on != "here":
        raise UserError(f"--on is here or slurm, but got {on!r}.")
    if options:
        raise UserError("--sbatch is for runs on Slurm: add --on slurm.")
    return None


def places(db: Path | None, runs: Path | None, user: UserFile | None = None) -> Places:
    """The run history and the run directories that a command works on."""
    return choose_places(user or read_user_file(), db, runs)


def runs_there_are(db: Path | None, runs: Path | None, user: UserFile | None = None) -> Places:
    """The same for a command on runs that there are: a mistyped history is not made, and empty, but said."""
    found = places(db, runs, user)
    if not found.db.parent.is_dir():
        raise UserError(f"There is no folder {found.db.parent} for the run history: name another file with --db.")
    return found
