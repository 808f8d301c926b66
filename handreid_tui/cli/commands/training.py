"""Commands that train or use trained weights: run, import, evaluate, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from engine.contract.errors import UserError
from handreid_tui.cli.options import (
    Db,
    Json,
    On,
    Run,
    Runs,
    Sbatch,
    places,
    slurm_request,
)
from handreid_tui.settings import read_user_file


def run(
    combo: Annotated[list[str], typer.Option(help="Combination to train, or terms: ce+triplet:0.5. Repeats.")],
    seed: Annotated[
        list[str] | None, typer.Option(help="Seed, or 0-4. Repeats; every pair with a combo is a run.")
    ] = None,
    data: Annotated[str, typer.Option(help="Folder of a data set, or `synthetic`.")] = "synthetic",
    format: Annotated[str | None, typer.Option(help="auto, 11k, hd, prepared or folder.")] = None,
    subset: Annotated[
        str | None, typer.Option(help="dorsal-right, dorsal-left, palmar-right, palmar-left, all.")
    ] = None,
    gallery: Annotated[
        str | None, typer.Option(help="all: merged over the aspects, as published. own: this one.")
    ] = None,
    split_seed: Annotated[
        str | None,
        typer.Option(help="Divide training and test people by these seeds (0-4), not at the published threshold."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Image encoder of open_clip, or handreid-tiny.")] = None,
    pretrained: Annotated[str | None, typer.Option(help="Tag of open_clip, weights file, RUN, or none.")] = None,
    epochs: Annotated[str | None, typer.Option(help="Passes over the training images.")] = None,
    ids_per_batch: Annotated[str | None, typer.Option(help="Identities in a batch (P).")] = None,
    images_per_id: Annotated[str | None, typer.Option(help="Images of each identity in a batch (K).")] = None,
    lr: Annotated[str | None, typer.Option(help="Learning rate of the encoder.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    set: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Any configuration key. Repeats.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Tag for the new runs. Repeats.")] = None,
    parallel: Annotated[int, typer.Option(min=1, help="Trainers at once where there is no GPU.")] = 1,
    gpus: Annotated[float | None, typer.Option(help="GPUs of a run: 1, 2, …, or a part of one [default: 1]")] = None,
    priority: Annotated[int, typer.Option(help="Place in the queue: higher goes first.")] = 0,
    on: On = None,
    sbatch: Sbatch = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before more than 100 runs.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return at once; the queue goes on by itself.")] = False,
    as_json: Json = False,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Train combinations, one run for each combo, combination of settings and seed. A comma separates values to try.

    Examples: `handreid run --combo ce_triplet_center` on synthetic hands ·
    `handreid run --combo ce --combo ce_arcface --seed 0-2 --data ~/11k --subset palmar-left` ·
    `handreid run --combo ce+triplet:0.5,1 --lr 1e-6,5e-6 --set loss.triplet.margin=0.1,0.3,soft`
    """
    from handreid_tui.cli.run import run as train
    from handreid_tui.launch.grid import read_combos, read_setting, read_values
    from handreid_tui.launch.seeds import read_seeds

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
    values = {key: read_values(key, text) for key, text in given.items() if text is not None}
    if split_seed is not None:
        values |= {"data.division": ["drawn"], "data.split_seed": [*read_seeds(split_seed)]}
    values |= dict(read_setting(each) for each in set or [])
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
        slurm=slurm_request(user, on or "here", gpus, sbatch),
        detach=detach,
        as_json=as_json,
    )
    raise typer.Exit(status)


def evaluate(
    run: Run,
    data: Annotated[str, typer.Option(help="Folder of a data set, or `synthetic`.")],
    format: Annotated[str, typer.Option(help="auto, 11k, hd, prepared or folder.")] = "auto",
    subset: Annotated[str, typer.Option(help="Aspect, or all.")] = "auto",
    gallery: Annotated[str, typer.Option(help="all or own.")] = "all",
    as_json: Json = False,
    runs: Runs = None,
) -> None:
    """Score a trained run on another data set or aspect."""
    from handreid_tui.cli.trained_run import evaluate as score

    chosen = {"source": data, "format": format, "subset": subset, "gallery": gallery}
    score(places(None, runs), run, chosen, as_json)


def export(
    run: Run,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder [default: RUN-encoder].")] = None,
    runs: Runs = None,
) -> None:
    """Write a run's encoder for open_clip alone, as safetensors with its preprocessing."""
    from handreid_tui.cli.trained_run import export as write

    write(places(None, runs), run, output)


def import_weights(
    weights: Annotated[Path, typer.Argument(metavar="FILE", help="State dict of a CLIP or of its image tower.")],
    model: Annotated[str, typer.Option(help="Image encoder of open_clip that the weights are of.")] = "ViT-B-16",
    data: Annotated[str, typer.Option(help="Folder of a data set, or `synthetic`.")] = "synthetic",
    subset: Annotated[str | None, typer.Option(help="Aspect, or all.")] = None,
    gallery: Annotated[str | None, typer.Option(help="all or own.")] = None,
    set: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Any configuration key. Repeats.")] = None,
    as_json: Json = False,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Score a model that you trained elsewhere, as a run beside the others.

    OpenAI's weights use an approximate GELU: name their model `ViT-B-16-quickgelu`.
    """
    from engine.contract.config import parse_setting
    from handreid_tui.cli.run import run as train

    if not weights.is_file():
        raise UserError(f"There is no file {weights}.")
    given = {"data.source": data, "data.subset": subset, "data.gallery": gallery, "model.name": model}
    settings: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    settings |= {"model.pretrained": str(weights)} | dict(parse_setting(each) for each in set or [])
    chosen: dict[str, Any] = {"tags": ["imported"], "as_json": as_json}
    raise typer.Exit(train(["zero_shot"], [0], settings, places(db, runs), {}, **chosen))
