"""The command line: every command, and its group in the help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, cast

import typer

from engine.contract.errors import UserError
from handreid_tui.cli.options import Db, Runs, places

# For each group of the help its commands, and for each command its function in `handreid_tui.cli.commands`.
GROUPS: dict[str, dict[str, str]] = {
    "Train": {
        "run": "training.run",
        "tune": "sweeps.tune",
        "import": "training.import_weights",
        "evaluate": "training.evaluate",
        "export": "training.export",
    },
    "Compare": {
        "compare": "comparing.compare",
        "report": "comparing.report",
        "plot": "comparing.plot",
        "fuse": "comparing.fuse",
    },
    "Casework": {
        "openset": "casework.openset",
        "evidence": "casework.evidence",
        "identify": "casework.identify",
        "verify": "casework.verify",
        "explain": "casework.explain",
    },
    "Runs": {
        "runs": "history.list_runs",
        "show": "history.show",
        "logs": "history.logs",
        "tag": "history.tag",
        "note": "history.note",
        "sweeps": "sweeps.sweeps",
    },
    "Queue": {
        "queue": "history.queue",
        "stop": "history.stop",
        "resume": "history.resume",
    },
    "Disk": {
        "rm": "history.rm",
        "prune": "history.prune",
        "rebuild": "history.rebuild",
    },
    "Setup": {
        "combos": "machine.combos",
        "doctor": "machine.doctor",
        "serve": "machine.serve",
        "data check": "machine.data_check",
    },
}
ABOUT_NESTED = {"data": "Inspect a data set."}


def function_of(place: str) -> Callable[..., None]:
    """The function of a command, by its place in GROUPS."""
    module, name = place.split(".")
    return cast(Callable[..., None], getattr(import_module(f"handreid_tui.cli.commands.{module}"), name))


def command_line(words: Sequence[str] = ()) -> typer.Typer:
    """The program's parser: all commands, or those whose names are among `words` if any is.

    A command costs the import of its module and typer's reading of its options, and most calls need one command. Words
    without a command get the list of commands at most, which takes no options.
    """
    app = typer.Typer(
        name="handreid",
        help="Train combinations of losses for hand re-identification, monitor the runs, and compare the results.",
        no_args_is_help=False,
        invoke_without_command=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(start)
    commands = [(group, name, place) for group, members in GROUPS.items() for name, place in members.items()]
    asked = [command for command in commands if command[1].split()[0] in words]
    listed = bool(words) and not asked
    nested: dict[str, typer.Typer] = {}
    for group, name, place in asked or commands:
        outer, _, inner = name.rpartition(" ")
        if outer and outer not in nested:
            nested[outer] = typer.Typer(help=ABOUT_NESTED[outer], no_args_is_help=True)
            app.add_typer(nested[outer], name=outer, rich_help_panel=group)
        function = _described(function_of(place)) if listed else function_of(place)
        if outer:
            nested[outer].command(inner)(function)
        else:
            app.command(inner, rich_help_panel=group)(function)
    return app


def _described(function: Callable[..., None]) -> Callable[[], None]:
    """A command of the same description without options, for the list of commands."""

    def command() -> None: ...

    command.__doc__ = function.__doc__
    return command


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"handreid {version('handreid')}")
        raise typer.Exit


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
        from handreid_tui.casework import CASES
        from handreid_tui.casework.case import case_folder

        folder = case_folder(CASES, case)
    from handreid_tui.ui.app import run_app
    from handreid_tui.ui.terminal import check_terminal

    check_terminal()
    raise typer.Exit(run_app(places(db, runs), folder))
