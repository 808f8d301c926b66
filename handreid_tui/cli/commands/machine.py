"""Commands about the data, the program and the machine: data check, combos, doctor, serve."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.contract.choices import DataFormat
from handreid_tui.cli.options import (
    Db,
    IdentityPattern,
    Json,
    Runs,
    Sbatch,
    Target,
    places,
    slurm_request,
)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Serve the terminal UI to a browser.

    Example: `handreid serve --port 8080`
    """
    from handreid_tui.cli.serve import serve as serve_ui

    serve_ui(places(db, runs), host, port)


def combos(as_json: Json = False) -> None:
    """List the loss terms and the named combinations."""
    from handreid_tui.cli.combos import show_combos
    from handreid_tui.settings import read_user_file

    show_combos(read_user_file().combos, as_json)


def data_check(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Folder of a data set, or `synthetic`.")],
    format: Annotated[DataFormat, typer.Option(help="Layout of the folder.")] = "auto",
    identity_pattern: IdentityPattern = None,
    decode: Annotated[
        bool, typer.Option("--decode", help="Decode every image; report damaged and near-duplicate ones.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check a data set: its layout, the counts of its split, and whether it can be trained on.

    Example: `handreid data check ~/11k --decode`
    """
    from handreid_tui.cli.data import check

    raise typer.Exit(check(path, format, identity_pattern, decode, as_json))


def doctor(
    on: Annotated[
        Target, typer.Option("--on", help="What to check: this machine, or also a node of the Slurm cluster.")
    ] = "here",
    sbatch: Sbatch = None,
    as_json: Json = False,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Check that this machine, or the cluster, can train.

    Example: `handreid doctor --on slurm`
    """
    from handreid_tui.cli.doctor import examine
    from handreid_tui.settings import read_user_file

    user = read_user_file()
    raise typer.Exit(examine(places(db, runs, user), slurm_request(user, on, None, sbatch), as_json))
