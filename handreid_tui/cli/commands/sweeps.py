"""Commands for sweeps: tune, sweeps."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from engine.contract.errors import UserError
from handreid_tui.cli.options import (
    TRAINING,
    Db,
    Detach,
    Device,
    Epochs,
    Formats,
    Galleries,
    Gpus,
    IdentityPattern,
    Json,
    Model,
    On,
    Parallel,
    Pretrained,
    Runs,
    Sbatch,
    Settings,
    SourceOrUsual,
    Subsets,
    Tags,
    Yes,
    given_values,
    places,
    runs_there_are,
    slurm_request,
)

SEARCH = "Search"


def tune(
    combo: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COMBO",
            help="Combination to tune (`handreid combos` lists them). Repeatable.",
            show_default="none; required for a new sweep",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    data: SourceOrUsual = None,
    format: Formats = None,
    identity_pattern: IdentityPattern = None,
    subset: Subsets = None,
    gallery: Galleries = None,
    model: Model = None,
    pretrained: Pretrained = None,
    epochs: Epochs = None,
    device: Device = None,
    set: Settings = None,
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=A..B[:log|:STEP]",
            help="Setting to vary, over a range or values such as true,false. Repeatable.",
            show_default="learning rates and the options of the terms",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(metavar="N", help="Trials of each combination.", show_default="24", rich_help_panel=SEARCH),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Choose the number of trials that fits this time, such as 8h.",
            show_default="no limit",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    method: Annotated[
        Literal["quasi", "bayes"],
        typer.Option(help="Quasi-random points, or Optuna's proposals from earlier trials.", rich_help_panel=SEARCH),
    ] = "quasi",
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Stop trials below the median of their combination.", rich_help_panel=SEARCH),
    ] = False,
    search_seed: Annotated[int, typer.Option(help="Seed of the sampled values.", rich_help_panel=SEARCH)] = 0,
    folds: Annotated[
        int,
        typer.Option(help="Folds of held-out people that each trial is validated on: 1 or 4.", rich_help_panel=SEARCH),
    ] = 1,
    shortlist: Annotated[
        int, typer.Option(help="Best trials to repeat on the other folds.", rich_help_panel=SEARCH)
    ] = 3,
    confirm: Annotated[
        int,
        typer.Option(
            help="Seeds to train the selected settings with, by the published protocol.", rich_help_panel=SEARCH
        ),
    ] = 3,
    more: Annotated[
        str | None,
        typer.Option(
            metavar="@N", help="Extend sweep N to --trials.", show_default="a new sweep", rich_help_panel=SEARCH
        ),
    ] = None,
    tag: Tags = None,
    parallel: Parallel = 1,
    gpus: Gpus = None,
    on: On = "here",
    sbatch: Sbatch = None,
    detach: Detach = False,
    yes: Yes = False,
    as_json: Json = False,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Tune combinations with the same number of trials on held-out people, then confirm the choices on new seeds.

    Examples: `handreid tune --combo ce --combo ce_triplet --data ~/11k` ·
    `handreid tune --combo ce_arcface --over train.lr=1e-6..3e-5:log --over loss.arcface.margin=0.1..0.7 --trials 12` ·
    `handreid tune --more @3 --trials 48`
    """
    from handreid_tui.cli import tune as command
    from handreid_tui.launch.grid import read_combos
    from handreid_tui.settings import read_user_file

    user = read_user_file()
    chosen = places(db, runs, user)
    if more is not None:
        if combo or over or budget:
            raise UserError("--more keeps the settings of the sweep: combine it with --trials only.")
        raise typer.Exit(command.extend(chosen, more, trials, detach, as_json))
    if not combo:
        raise UserError("Name the combinations to tune: --combo ce --combo ce_triplet. `handreid combos` lists them.")
    given = {
        "data.source": data,
        "data.format": format,
        "data.subset": subset,
        "data.gallery": gallery,
        "model.name": model,
        "model.pretrained": pretrained,
        "train.epochs": epochs,
        "device": device,
    }
    values = given_values(given, identity_pattern, set)
    if several := next((key for key, found in values.items() if len(found) > 1), None):
        raise UserError(f"{several} has several values: `tune` varies a setting with --over {several}=….")
    raise typer.Exit(
        command.tune(
            chosen,
            read_combos(combo, user.combos),
            user.settings | {key: found[0] for key, found in values.items()},
            user.combos,
            over or [],
            trials=trials,
            budget=budget,
            how={
                "method": method,
                "prune": prune,
                "search_seed": search_seed,
                "folds": folds,
                "shortlist": shortlist,
                "confirm": confirm,
            },
            tags=tag or [],
            launch={"gpus": 1.0 if gpus is None else gpus, "parallel": parallel},
            slurm=slurm_request(user, on, gpus, sbatch),
            detach=detach,
            yes=yes,
            as_json=as_json,
        )
    )


def sweeps(
    sweep: Annotated[
        str | None, typer.Argument(metavar="[@N]", help="Sweep to show in full.", show_default="all, one line each")
    ] = None,
    as_json: Json = False,
    runs: Runs = None,
) -> None:
    """List sweeps, with their progress and selected settings.

    Example: `handreid sweeps @3`
    """
    from handreid_tui.cli.sweeps import show_sweeps

    show_sweeps(runs_there_are(None, runs), sweep, as_json)
