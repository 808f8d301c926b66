"""The command line: one thin function a command. What it does is in `commands/`, imported when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from engine.contract.errors import UserError
from handreid_tui.launch.slurm.request import Request
from handreid_tui.settings import Places, UserFile, choose_places, read_user_file

app = typer.Typer(
    name="handreid",
    help="Which loss makes CLIP tell hands apart? Train combinations of losses, watch them, compare them.",
    no_args_is_help=False,
    invoke_without_command=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data = typer.Typer(help="Look at a data set.", no_args_is_help=True)
app.add_typer(data, name="data")

BEFORE: dict[str, Path | None] = {"db": None, "runs": None}  # the options that stood before the command

Db = Annotated[Path | None, typer.Option("--db", help="Run history [default: $HANDREID_DB, or ./runs.db]")]
Runs = Annotated[Path | None, typer.Option("--runs", help="Run directories [default: $HANDREID_RUNS, or ./runs]")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, everything else on stderr.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A number, the beginning of a name, or `last`.")]
Several = Annotated[list[str], typer.Argument(metavar="RUN...", help="As elsewhere, or from-to: 12-40.")]
On = Annotated[str | None, typer.Option("--on", help="here, or slurm [default: here; a resumed run, where it was]")]
Sbatch = Annotated[list[str] | None, typer.Option(metavar="OPTION", help="For sbatch, like --time=4:00:00. Repeats.")]


def _request(user: UserFile, on: str, gpus: float | None, options: list[str] | None) -> Request | None:
    """What to ask of Slurm, None where a run stays here."""
    if on == "slurm":
        return (user.slurm or Request()).changed(gpus, options or [])
    if on != "here":
        raise UserError(f"--on is here or slurm, but got {on!r}.")
    if options:
        raise UserError("--sbatch is for runs on Slurm: add --on slurm.")
    return None


def _places(db: Path | None, runs: Path | None, user: UserFile | None = None) -> Places:
    """The places of a command: what stands behind it on the command line, else what stands before it."""
    return choose_places(user or read_user_file(), db or BEFORE["db"], runs or BEFORE["runs"])


def _history(db: Path | None, runs: Path | None, user: UserFile | None = None) -> Places:
    """The same for a command on runs that there are: a mistyped history is not made, and empty, but said."""
    places = _places(db, runs, user)
    if not places.db.parent.is_dir():
        raise UserError(f"There is no folder {places.db.parent} for the run history: name another file with --db.")
    return places


@app.callback()
def start(context: typer.Context, db: Db = None, runs: Runs = None) -> None:
    """Without a command: the terminal UI."""
    BEFORE.update(db=db, runs=runs)
    if context.invoked_subcommand is None:
        from handreid_tui.ui.app import run_app

        raise typer.Exit(run_app(_places(db, runs)))


@app.command()
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
    model: Annotated[str | None, typer.Option(help="Image encoder of open_clip, or handreid-tiny.")] = None,
    pretrained: Annotated[str | None, typer.Option(help="Tag of open_clip, weights file, RUN, or none.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    ids_per_batch: Annotated[int | None, typer.Option(help="Identities in a batch (P).")] = None,
    images_per_id: Annotated[int | None, typer.Option(help="Images of each identity in a batch (K).")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate of the encoder.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    set: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Any configuration key. Repeats.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Tag for the new runs. Repeats.")] = None,
    parallel: Annotated[int, typer.Option(min=1, help="Trainers at once where there is no GPU.")] = 1,
    gpus: Annotated[float | None, typer.Option(help="GPUs of a run: 1, 2, …, or a part of one [default: 1]")] = None,
    priority: Annotated[int, typer.Option(help="Place in the queue: higher goes first.")] = 0,
    on: On = None,
    sbatch: Sbatch = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return at once; the queue goes on by itself.")] = False,
    as_json: Json = False,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Train combinations, one run for each combo and seed.

    Examples: `handreid run --combo ce_triplet_center` on drawn hands ·
    `handreid run --combo ce --combo ce_arcface --seed 0-2 --data ~/11k --subset palmar-left`
    """
    from engine.contract.config import parse_setting
    from handreid_tui.cli.run import run as train
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
    settings: dict[str, Any] = user.settings | {key: value for key, value in given.items() if value is not None}
    settings |= dict(parse_setting(each) for each in set or [])
    seeds = read_seeds(" ".join(seed or []))
    status = train(
        list(dict.fromkeys(combo)),
        seeds,
        settings,
        _places(db, runs, user),
        user.combos,
        tags=tag or [],
        gpus=1.0 if gpus is None else gpus,
        priority=priority,
        parallel=parallel,
        slurm=_request(user, on or "here", gpus, sbatch),
        detach=detach,
        as_json=as_json,
    )
    raise typer.Exit(status)


Names = Annotated[list[str] | None, typer.Argument(metavar="[RUN...]", help="Runs [default: all finished ones].")]
By = Annotated[str | None, typer.Option(help="combo: runs of one combination in a row. run: a row each.")]
Baseline = Annotated[str, typer.Option(help="Combination that the others are compared with.")]


@app.command()
def compare(
    runs_: Names = None,
    by: By = None,
    baseline: Baseline = "ce",
    claims: Annotated[bool, typer.Option("--claims", help="Does each loss do what it says?")] = False,
    published: Annotated[bool, typer.Option("--published", help="Published results of the same protocol.")] = False,
    format: Annotated[str, typer.Option(help="table, markdown, latex, csv or json.")] = "table",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Combinations side by side: mean and deviation over seeds, differences with intervals.

    Examples: `handreid compare` · `handreid compare 3 7 --format latex` · `handreid compare --claims`
    """
    from handreid_tui.cli.compare import show_comparison

    show_comparison(_history(db, runs), runs_ or [], by, baseline, claims, published, "json" if as_json else format)


@app.command()
def report(
    runs_: Names = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("report.html"),
    by: By = None,
    baseline: Baseline = "ce",
    db: Db = None,
    runs: Runs = None,
) -> None:
    """One HTML file with everything: tables, curves, hardest queries, how to reproduce."""
    from handreid_tui.cli.compare import make_report

    make_report(_history(db, runs), runs_ or [], by, baseline, output)


@app.command()
def plot(
    kind: Annotated[str, typer.Argument(help="loss, validation, geometry, cmc, roc or embedding.")],
    runs_: Names = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="png, svg or pdf [default: KIND.svg]")] = None,
    by: By = None,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """One figure, for a paper."""
    from handreid_tui.cli.compare import make_plot

    make_plot(_history(db, runs), runs_ or [], kind, by, output or Path(f"{kind}.svg"))


@app.command()
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
    score(_places(None, runs), run, chosen, as_json)


@app.command()
def export(
    run: Run,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder [default: RUN-encoder].")] = None,
    runs: Runs = None,
) -> None:
    """Write a run's encoder for open_clip alone, as safetensors with its preprocessing."""
    from handreid_tui.cli.trained_run import export as write

    write(_places(None, runs), run, output)


@app.command("import")
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
    places = _places(db, runs)
    chosen: dict[str, Any] = {"tags": ["imported"], "as_json": as_json}
    raise typer.Exit(train(["zero_shot"], [0], settings, places, {}, **chosen))


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """The terminal UI in a browser, on this machine."""
    from handreid_tui.cli.serve import serve as serve_ui

    serve_ui(_places(db, runs), host, port)


@app.command()
def combos(as_json: Json = False) -> None:
    """The combinations and the loss terms that they are made of."""
    from handreid_tui.cli.combos import show_combos

    show_combos(read_user_file().combos, as_json)


@data.command("check")
def data_check(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Folder of a data set, or `synthetic`.")],
    format: Annotated[str, typer.Option(help="auto, 11k, hd, prepared or folder.")] = "auto",
    decode: Annotated[bool, typer.Option("--decode", help="Decode every image too, and name the damaged.")] = False,
    as_json: Json = False,
) -> None:
    """What a folder holds, and the counts of its split."""
    from handreid_tui.cli.data import check

    raise typer.Exit(check(path, format, decode, as_json))


@app.command("runs")
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

    show_runs(_history(db, runs), filter, all, as_json)


@app.command()
def show(run: Run, as_json: Json = False, db: Db = None, runs: Runs = None) -> None:
    """One run: what it is, how it went, and what it reached."""
    from handreid_tui.cli.runs import show_run

    show_run(_history(db, runs), run, as_json)


@app.command()
def logs(
    run: Run,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    runs: Runs = None,
) -> None:
    """What the trainer printed."""
    from handreid_tui.cli.runs import show_log

    show_log(_places(None, runs), run, follow)


@app.command()
def stop(
    run: Several,
    kill: Annotated[bool, typer.Option("--kill", help="Do not wait for the end of the step.")] = False,
    runs: Runs = None,
) -> None:
    """Stop runs after their step, with a checkpoint; or take them out of the queue."""
    from handreid_tui.cli.runs import stop_runs

    stop_runs(_places(None, runs), run, kill)


@app.command()
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

    user = read_user_file()
    _request(user, on or "slurm", None, sbatch)  # for its complaints
    slurm = (user.slurm or Request()).changed(None, sbatch or [])
    raise typer.Exit(resume_runs(_history(db, runs, user), run, on, slurm, detach))


@app.command()
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

    places = _places(None, runs)
    if run:
        change_order(places, run, up, down, priority)
    elif up or down or priority is not None:
        raise UserError("Say which waiting run is to move: `handreid queue 12 --up`.")
    show_queue(places, as_json)


@app.command()
def rm(
    run: Several,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Delete runs, with everything they hold."""
    from handreid_tui.cli.runs import remove_runs

    remove_runs(_history(db, runs), run, yes)


@app.command()
def prune(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False, db: Db = None, runs: Runs = None
) -> None:
    """Free what finished runs do not need: every checkpoint but the best."""
    from handreid_tui.cli.runs import prune_runs

    prune_runs(_history(db, runs), yes)


@app.command()
def tag(
    run: Run,
    name: Annotated[str, typer.Argument(help="The tag.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take the tag off.")] = False,
    db: Db = None,
    runs: Runs = None,
) -> None:
    """Put a tag on a run."""
    from handreid_tui.cli.runs import tag_run

    tag_run(_history(db, runs), run, name, remove)


@app.command()
def note(run: Run, text: Annotated[str, typer.Argument(help="The note.")], db: Db = None, runs: Runs = None) -> None:
    """Write a note on a run."""
    from handreid_tui.cli.runs import edit_run
    from handreid_tui.history import set_note

    edit_run(_history(db, runs), run, lambda history, number: set_note(history, number, text))


@app.command()
def rebuild(db: Db = None, runs: Runs = None) -> None:
    """Make the run history anew from the run directories."""
    from handreid_tui.cli.runs import rebuild_history

    rebuild_history(_history(db, runs))


@app.command()
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
    raise typer.Exit(examine(_places(db, runs, user), _request(user, on, None, sbatch), as_json))
