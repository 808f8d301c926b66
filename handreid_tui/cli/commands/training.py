"""Commands that train or use trained weights: run, import, evaluate, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from engine.contract.choices import DataFormat, Gallery, Subset
from engine.contract.errors import UserError
from engine.contract.recipe import DEFAULT_MODEL
from handreid_tui.cli.options import (
    DATA,
    MODEL,
    QUEUE,
    TRAINING,
    Db,
    Detach,
    Device,
    Epochs,
    Formats,
    Galleries,
    GalleryOrUsual,
    Gpus,
    IdentityPattern,
    Json,
    Model,
    On,
    Parallel,
    Pretrained,
    Run,
    Runs,
    Sbatch,
    Settings,
    Source,
    SourceOrUsual,
    SubsetOrUsual,
    Subsets,
    Tags,
    Yes,
    by_model,
    given_values,
    places,
    slurm_request,
)


def run(
    combo: Annotated[
        list[str],
        typer.Option(
            metavar="COMBO",
            help="Combination to train (`handreid combos` lists them), or terms: ce+triplet:0.5. Repeatable.",
            rich_help_panel=TRAINING,
        ),
    ],
    seed: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SEED",
            help="Seed, or a range such as 0-4. Repeatable; each pair of combination and seed is a run.",
            show_default="0",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    data: SourceOrUsual = None,
    format: Formats = None,
    identity_pattern: IdentityPattern = None,
    subset: Subsets = None,
    gallery: Galleries = None,
    split_seed: Annotated[
        str | None,
        typer.Option(
            metavar="SEEDS",
            help="Divide the people into training and test at random with these seeds, such as 0-4.",
            show_default="the published division",
            rich_help_panel=DATA,
        ),
    ] = None,
    model: Model = None,
    pretrained: Pretrained = None,
    epochs: Epochs = None,
    ids_per_batch: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Identities in a batch (P).",
            show_default=by_model("train.ids_per_batch"),
            rich_help_panel=TRAINING,
        ),
    ] = None,
    images_per_id: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Images of each identity in a batch (K).",
            show_default=by_model("train.images_per_id"),
            rich_help_panel=TRAINING,
        ),
    ] = None,
    lr: Annotated[
        str | None,
        typer.Option(
            metavar="RATE",
            help="Learning rate of the encoder.",
            show_default=by_model("train.lr"),
            rich_help_panel=TRAINING,
        ),
    ] = None,
    device: Device = None,
    set: Settings = None,
    tag: Tags = None,
    parallel: Parallel = 1,
    gpus: Gpus = None,
    priority: Annotated[
        int, typer.Option(help="Priority in the queue: higher starts first.", rich_help_panel=QUEUE)
    ] = 0,
    on: On = "here",
    sbatch: Sbatch = None,
    yes: Yes = False,
    detach: Detach = False,
    as_json: Json = False,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Train combinations: one run for each combination, set of values and seed.

    A comma separates values to try.

    Settings that are not given come from handreid.toml (section run), else from the recipe of the model.

    Examples: `handreid run --combo ce_triplet_center` on synthetic hands ·
    `handreid run --combo ce --combo ce_arcface --seed 0-2 --data ~/11k --subset palmar-left` ·
    `handreid run --combo ce+triplet:0.5,1 --lr 1e-6,5e-6 --set loss.triplet.margin=0.1,0.3,soft`
    """
    from handreid_tui.cli.run import run as train
    from handreid_tui.launch.grid import read_combos
    from handreid_tui.launch.seeds import read_seeds
    from handreid_tui.settings import read_user_file

    user = read_user_file()
    given = {
        "data.source": data,
        "data.format": format,
        "data.subset": subset,
        "data.gallery": gallery,
        "model.name": model,
        "model.pretrained": pretrained,
        "train.epochs": epochs,
        "train.ids_per_batch": ids_per_batch,
        "train.images_per_id": images_per_id,
        "train.lr": lr,
        "device": device,
    }
    values = given_values(given, identity_pattern, set)
    if split_seed is not None:
        values = {"data.division": ["drawn"], "data.split_seed": list[Any](read_seeds(split_seed)), **values}
    grid = {key: found for key, found in values.items() if len(found) > 1}
    settings = user.settings | {key: found[0] for key, found in values.items() if key not in grid}
    seeds = read_seeds(" ".join(seed or []))
    status = train(
        read_combos(combo, user.combos),
        seeds,
        settings,
        places(db, runs, user),
        user.combos,
        tags=tag or [],
        grid=grid,
        yes=yes,
        gpus=1.0 if gpus is None else gpus,
        priority=priority,
        parallel=parallel,
        slurm=slurm_request(user, on, gpus, sbatch),
        detach=detach,
        as_json=as_json,
    )
    raise typer.Exit(status)


def evaluate(
    run: Run,
    data: Source,
    format: Annotated[DataFormat, typer.Option(help="Layout of the folder.", rich_help_panel=DATA)] = "auto",
    identity_pattern: IdentityPattern = None,
    subset: Annotated[
        Subset, typer.Option(help="Aspect of the hand, or all; auto: the first available.", rich_help_panel=DATA)
    ] = "auto",
    gallery: Annotated[
        Gallery,
        typer.Option(
            help="all: merged gallery of all aspects, as published; own: that of this aspect.", rich_help_panel=DATA
        ),
    ] = "all",
    as_json: Json = False,
    runs: Runs = None,
) -> None:
    """Evaluate a trained run on another data set or aspect.

    Example: `handreid evaluate 12 --data ~/hd`
    """
    from handreid_tui.cli.trained_run import evaluate as score

    chosen = {"source": data, "format": format, "subset": subset, "gallery": gallery}
    chosen |= {"identity_pattern": identity_pattern} if identity_pattern else {}
    score(places(None, runs), run, chosen, as_json)


def export(
    run: Run,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder to write.", show_default="RUN-encoder"),
    ] = None,
    runs: Runs = None,
) -> None:
    """Write a run's encoder and its preprocessing for use with open_clip alone.

    Example: `handreid export last -o encoder`
    """
    from handreid_tui.cli.trained_run import export as write

    write(places(None, runs), run, output)


def import_weights(
    weights: Annotated[
        Path,
        typer.Argument(
            metavar="WEIGHTS",
            help="Weights of a CLIP model or of its image tower: a file, the index of several, or their folder.",
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Image encoder of open_clip that the weights belong to.", rich_help_panel=MODEL
        ),
    ] = DEFAULT_MODEL,
    data: Source = "synthetic",
    subset: SubsetOrUsual = None,
    gallery: GalleryOrUsual = None,
    set: Settings = None,
    as_json: Json = False,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Evaluate a model trained elsewhere, as a run that is compared like any other.

    OpenAI's weights use an approximate GELU: give `--model ViT-B-16-quickgelu`.

    Example: `handreid import weights.pt --data ~/11k`
    """
    from engine.contract.config import parse_setting
    from handreid_tui.cli.run import run as train

    if not weights.exists():
        raise UserError(f"No such file or folder: {weights}.")
    given = {"data.source": data, "data.subset": subset, "data.gallery": gallery, "model.name": model}
    settings: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    settings |= {"model.pretrained": str(weights)} | dict(parse_setting(each) for each in set or [])
    chosen: dict[str, Any] = {"tags": ["imported"], "as_json": as_json}
    raise typer.Exit(train(["zero_shot"], [0], settings, places(db, runs), {}, **chosen))
