"""Commands for sweeps: tune, sweeps."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from engine.contract.errors import UserError
from handreid_tui.cli.options import Db, Json, On, Runs, Sbatch, places, runs_there_are, slurm_request
from handreid_tui.settings import read_user_file


def tune(
    combo: Annotated[list[str] | None, typer.Option(help="Combination to tune. Repeats.")] = None,
    data: Annotated[str, typer.Option(help="Folder of a data set, or `synthetic`.")] = "synthetic",
    format: Annotated[str | None, typer.Option(help="auto, 11k, hd, prepared or folder.")] = None,
    subset: Annotated[str | None, typer.Option(help="Aspect, or all.")] = None,
    gallery: Annotated[str | None, typer.Option(help="all or own.")] = None,
    model: Annotated[str | None, typer.Option(help="Image encoder of open_clip, or handreid-tiny.")] = None,
    pretrained: Annotated[str | None, typer.Option(help="Tag of open_clip, weights file, RUN, or none.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    set: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Any configuration key. Repeats.")] = None,
    over: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=A..B[:log|:STEP]", help="What to vary [default: rates and the terms' options]."),
    ] = None,
    trials: Annotated[int | None, typer.Option(help="Trials of each combination [default: 24].")] = None,
    budget: Annotated[str | None, typer.Option(help="Instead: as many as fit into this time, such as 8h.")] = None,
    search_seed: Annotated[int, typer.Option(help="Seed of the sampled values.")] = 0,
    folds: Annotated[int, typer.Option(help="Folds of held-out people for each trial: 1 or 4.")] = 1,
    shortlist: Annotated[int, typer.Option(help="Best trials to repeat on the other folds.")] = 3,
    confirm: Annotated[int, typer.Option(help="Seeds to train the chosen settings with, as published.")] = 3,
    more: Annotated[str | None, typer.Option(metavar="@N", help="Extend sweep N to --trials.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Tag for the new runs. Repeats.")] = None,
    parallel: Annotated[int, typer.Option(min=1, help="Trainers at once where there is no GPU.")] = 1,
    gpus: Annotated[float | None, typer.Option(help="GPUs of a run: 1, 2, …, or a part of one [default: 1]")] = None,
    on: On = None,
    sbatch: Sbatch = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return at once; the sweep continues.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before more than 100 trainings.")] = False,
    as_json: Json = False,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Tune combinations with equal effort on held-out people, then confirm each choice on fresh seeds.

    Examples: `handreid tune --combo ce --combo ce_triplet --data ~/11k` ·
    `handreid tune --combo ce_arcface --over train.lr=1e-6..3e-5:log --over loss.arcface.margin=0.1..0.7 --trials 12` ·
    `handreid tune --more @3 --trials 48`
    """
    from handreid_tui.cli import tune as command
    from handreid_tui.launch.grid import read_combos, read_setting, read_values

    user = read_user_file()
    chosen = places(db, runs, user)
    if more is not None:
        if combo or over or budget:
            raise UserError("--more extends a sweep as it is: give it with --trials alone.")
        raise typer.Exit(command.extend(chosen, more, trials, detach, as_json))
    if not combo:
        raise UserError("Say what to tune: --combo ce --combo ce_triplet. `handreid combos` lists them.")
    given: dict[str, Any] = {
        "data.source": data,
        "data.format": format,
        "data.subset": subset,
        "data.gallery": gallery,
        "model.name": model,
        "model.pretrained": pretrained,
        "train.epochs": epochs,
        "device": device,
    }
    values = {key: read_values(key, str(text)) for key, text in given.items() if text is not None}
    values |= dict(read_setting(each) for each in set or [])
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
            numbers={"search_seed": search_seed, "folds": folds, "shortlist": shortlist, "confirm": confirm},
            tags=tag or [],
            launch={"gpus": 1.0 if gpus is None else gpus, "parallel": parallel},
            slurm=slurm_request(user, on or "here", gpus, sbatch),
            detach=detach,
            yes=yes,
            as_json=as_json,
        )
    )


def sweeps(
    sweep: Annotated[str | None, typer.Argument(metavar="[@N]", help="One sweep in full.")] = None,
    as_json: Json = False,
    runs: Runs = None,
) -> None:
    """Sweeps: how far each is, and what it chose."""
    from handreid_tui.cli.sweeps import show_sweeps

    show_sweeps(runs_there_are(None, runs), sweep, as_json)
