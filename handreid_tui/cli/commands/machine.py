"""Commands about the data, the program and the machine: data check, combos, doctor, serve."""

from __future__ import annotations

from typing import Annotated

import typer

from handreid_tui.cli.options import (
    Db,
    Json,
    Runs,
    Sbatch,
    places,
    slurm_request,
)
from handreid_tui.settings import read_user_file


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """The terminal UI in a browser, on this machine."""
    from handreid_tui.cli.serve import serve as serve_ui

    serve_ui(places(db, runs), host, port)


def combos(as_json: Json = False) -> None:
    """The combinations and the loss terms that they are made of."""
    from handreid_tui.cli.combos import show_combos

    show_combos(read_user_file().combos, as_json)


def data_check(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Folder of a data set, or `synthetic`.")],
    format: Annotated[str, typer.Option(help="auto, 11k, hd, prepared or folder.")] = "auto",
    decode: Annotated[bool, typer.Option("--decode", help="Decode every image too, and name the damaged.")] = False,
    as_json: Json = False,
) -> None:
    """What a folder holds, and the counts of its split."""
    from handreid_tui.cli.data import check

    raise typer.Exit(check(path, format, decode, as_json))


def doctor(
    on: Annotated[str, typer.Option("--on", help="slurm: the cluster too, from one of its nodes.")] = "here",
    sbatch: Sbatch = None,
    as_json: Json = False,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """What works on this machine, or on the cluster, and what does not."""
    from handreid_tui.cli.doctor import examine

    user = read_user_file()
    raise typer.Exit(examine(places(db, runs, user), slurm_request(user, on, None, sbatch), as_json))
