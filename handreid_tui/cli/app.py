"""The command line: every command, and its group in the help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from engine.contract.errors import UserError
from handreid_tui.cli.commands import casework, comparing, history, machine, sweeps, training
from handreid_tui.cli.options import Db, Runs, places
from handreid_tui.settings import CASES
from handreid_tui.ui.terminal import check_terminal

app = typer.Typer(
    name="handreid",
    help="Train combinations of losses for hand re-identification, monitor the runs, and compare the results.",
    no_args_is_help=False,
    invoke_without_command=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data = typer.Typer(help="Inspect a data set.", no_args_is_help=True)

GROUPS: dict[str, dict[str, Callable[..., None]]] = {
    "Train": {
        "run": training.run,
        "tune": sweeps.tune,
        "import": training.import_weights,
        "evaluate": training.evaluate,
        "export": training.export,
    },
    "Compare": {
        "compare": comparing.compare,
        "report": comparing.report,
        "plot": comparing.plot,
        "fuse": comparing.fuse,
    },
    "Casework": {
        "openset": casework.openset,
        "evidence": casework.evidence,
        "identify": casework.identify,
        "verify": casework.verify,
        "explain": casework.explain,
    },
    "Runs": {
        "runs": history.list_runs,
        "show": history.show,
        "logs": history.logs,
        "tag": history.tag,
        "note": history.note,
        "sweeps": sweeps.sweeps,
    },
    "Queue": {
        "queue": history.queue,
        "stop": history.stop,
        "resume": history.resume,
    },
    "Disk": {
        "rm": history.rm,
        "prune": history.prune,
        "rebuild": history.rebuild,
    },
    "Setup": {
        "combos": machine.combos,
        "doctor": machine.doctor,
        "serve": machine.serve,
    },
}

for group, commands in GROUPS.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=group)(command)
data.command("check")(machine.data_check)
app.add_typer(data, name="data", rich_help_panel="Setup")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"handreid {version('handreid')}")
        raise typer.Exit


@app.callback()
def start(
    context: typer.Context,
    db: Db = None,
    runs: Runs = None,
    case: Annotated[
        str | None,
        typer.Option(
            metavar="CASE",
            help="Open the terminal UI at a case: a number, a name, a folder, or `last`.",
            show_default="none",
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Train combinations of losses for hand re-identification, monitor the runs, and compare the results.

    Without a command: open the terminal UI.
    """
    if context.invoked_subcommand is not None:
        if case is not None:
            raise UserError("--case opens the terminal UI: give it without a command.")
        return
    folder = None
    if case is not None:
        from handreid_tui.casework.case import case_folder

        folder = case_folder(CASES, case)
    check_terminal()
    from handreid_tui.ui.app import run_app

    raise typer.Exit(run_app(places(db, runs), folder))
