"""Options that several commands share, and where a command works."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from engine.contract.choices import DataFormat, Gallery, Subset
from engine.contract.errors import UserError
from engine.contract.models import START_MODEL
from engine.contract.recipe import DEFAULT_MODEL, TINY, recipe

if TYPE_CHECKING:
    from handreid_tui.launch.slurm.request import SlurmRequest
    from handreid_tui.settings import Places, UserFile

TableFormat = Literal["table", "markdown", "latex", "csv", "json"]
PlotKind = Literal[
    "loss", "validation", "geometry", "cmc", "roc", "det", "tippett", "ece", "embedding", "tuning", "importance"
]
RowOf = Literal["combo", "run"]
Target = Literal["here", "slurm"]

DATA, MODEL, TRAINING, QUEUE, OUTPUT, PLACES = "Data", "Model", "Training", "Queue", "Output", "Locations"
DEVICES = ("auto", "cpu", "cuda", "cuda:0", "cuda:1")


def by_model(key: str) -> str:
    """The default of a setting that depends on the model, for the help."""
    usual, tiny = recipe(DEFAULT_MODEL)[key], recipe(TINY)[key]
    return str(usual) if usual == tiny else f"{usual}; {TINY}: {tiny}"


def one_of(choices: Any) -> dict[str, Any]:
    """For an option that takes one or, with commas, several values of a Literal: shown, completed and checked."""
    allowed = get_args(choices)

    def check(text: str | None) -> str | None:
        for value in text.split(",") if text else ():
            if value.strip() not in allowed:
                raise typer.BadParameter(f"{value.strip()!r} is not one of {', '.join(map(repr, allowed))}.")
        return text

    return {"metavar": f"<{'|'.join(allowed)}>", "callback": check, "autocompletion": lambda: list(allowed)}


def _or_before(context: typer.Context, option: typer.CallbackParam, value: Path | None) -> Path | None:
    """The value of an option that may also precede the command, as in `handreid --runs DIR rm 4`."""
    return value or (context.parent.params.get(option.name or "") if context.parent else None)


IdentityPattern = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="Regular expression whose group is the identity in an image's name, such as '^([0-9]+)_'.",
        show_default="identities from the layout",
        rich_help_panel=DATA,
    ),
]
Db = Annotated[
    Path | None,
    typer.Option(
        "--db",
        metavar="FILE",
        callback=_or_before,
        help="Database of the run history.",
        show_default="$HANDREID_DB, else ./runs.db",
        rich_help_panel=PLACES,
    ),
]
Runs = Annotated[
    Path | None,
    typer.Option(
        "--runs",
        metavar="DIR",
        callback=_or_before,
        help="Folder of the run directories.",
        show_default="$HANDREID_RUNS, else ./runs",
        rich_help_panel=PLACES,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print JSON on stdout, everything else on stderr.", rich_help_panel=OUTPUT)
]
Run = Annotated[str, typer.Argument(metavar="RUN", help="Run number, name prefix, or `last`.")]
Several = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN", help="Run number, name prefix, `last`, a range such as 12-40, or a sweep such as @3."
    ),
]
SomeRuns = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RUN]", help="Run number, name prefix, `last`, a range such as 12-40, or a sweep such as @3."
    ),
]
On = Annotated[Target, typer.Option("--on", help="Train on this machine or on a Slurm cluster.", rich_help_panel=QUEUE)]
OnAgain = Annotated[
    Target | None,
    typer.Option(
        "--on",
        help="Train on this machine or on a Slurm cluster.",
        show_default="where the run was before",
        rich_help_panel=QUEUE,
    ),
]
Sbatch = Annotated[
    list[str] | None,
    typer.Option(metavar="OPTION", help="Option of sbatch, such as --time=4:00:00. Repeatable.", rich_help_panel=QUEUE),
]
Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RUN]",
        help="Run number, name prefix, `last`, or a sweep such as @3.",
        show_default="all finished runs",
    ),
]
By = Annotated[
    RowOf | None,
    typer.Option(
        help="One row for each combination, or for each run.",
        show_default="combo; run if runs are named",
        rich_help_panel=OUTPUT,
    ),
]
Baseline = Annotated[
    str, typer.Option(metavar="COMBO", help="Combination that the others are compared with.", rich_help_panel=OUTPUT)
]
Source = Annotated[
    str,
    typer.Option("--data", metavar="PATH", help="Folder of a data set, or `synthetic`.", rich_help_panel=DATA),
]
SubsetOrUsual = Annotated[
    Subset | None,
    typer.Option(
        help="Aspect of the hand, or all of them.",
        show_default="auto: the first available",
        rich_help_panel=DATA,
    ),
]
GalleryOrUsual = Annotated[
    Gallery | None,
    typer.Option(
        help="all: merged gallery of all aspects, as published; own: that of this aspect.",
        show_default="all; on synthetic data own",
        rich_help_panel=DATA,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any configuration key, such as train.warmup_epochs=5. Repeatable.",
        rich_help_panel=TRAINING,
    ),
]

SourceOrUsual = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="Folder of a data set, or `synthetic`.",
        show_default="synthetic",
        rich_help_panel=DATA,
    ),
]
Formats = Annotated[
    str | None,
    typer.Option(**one_of(DataFormat), help="Layout of the folder.", show_default="auto", rich_help_panel=DATA),
]
Subsets = Annotated[
    str | None,
    typer.Option(
        **one_of(Subset),
        help="Aspect of the hand, or all of them.",
        show_default="auto: the first available",
        rich_help_panel=DATA,
    ),
]
Galleries = Annotated[
    str | None,
    typer.Option(
        **one_of(Gallery),
        help="all: merged gallery of all aspects, as published; own: that of this aspect.",
        show_default="all; on synthetic data own",
        rich_help_panel=DATA,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=f"Image encoder: a name of open_clip, timm:NAME, hf-hub:OWNER/NAME, {TINY} or {START_MODEL}.",
        show_default=f"{DEFAULT_MODEL}; on synthetic data {TINY}",
        rich_help_panel=MODEL,
    ),
]
Pretrained = Annotated[
    str | None,
    typer.Option(
        metavar="WEIGHTS",
        help="Initial weights: tag of open_clip, file, earlier run, hub, synthetic, or none.",
        show_default=by_model("model.pretrained"),
        rich_help_panel=MODEL,
    ),
]
Epochs = Annotated[
    str | None,
    typer.Option(
        metavar="N",
        help="Passes over the training images.",
        show_default=by_model("train.epochs"),
        rich_help_panel=TRAINING,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="[auto|cpu|cuda|cuda:N]",
        help="Device to train on; auto: a free GPU, else the CPU.",
        show_default="auto",
        autocompletion=lambda: list(DEVICES),
        rich_help_panel=TRAINING,
    ),
]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TAG", help="Tag for the new runs. Repeatable.", rich_help_panel=QUEUE),
]
Parallel = Annotated[int, typer.Option(min=1, help="Concurrent runs on the CPU.", rich_help_panel=QUEUE)]
Gpus = Annotated[
    float | None,
    typer.Option(help="GPUs for each run; a fraction shares a GPU.", show_default="1", rich_help_panel=QUEUE),
]
Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="Do not ask for confirmation above 100 runs.", rich_help_panel=QUEUE)
]
Detach = Annotated[
    bool,
    typer.Option("--detach", help="Return at once; training continues in the background.", rich_help_panel=QUEUE),
]


def given_values(
    given: dict[str, str | None], identity_pattern: str | None, settings: list[str] | None
) -> dict[str, list[Any]]:
    """The values that options and --set give to each setting; several where commas separate them."""
    from handreid_tui.launch.grid import read_setting, read_values

    values = {key: read_values(key, text) for key, text in given.items() if text is not None}
    if identity_pattern is not None:
        values["data.identity_pattern"] = [identity_pattern]  # whole: a comma in it separates no values
    return values | dict(read_setting(each) for each in settings or [])


def slurm_request(user: UserFile, on: Target, gpus: float | None, options: list[str] | None) -> SlurmRequest | None:
    """What to ask of Slurm; None for runs on this machine."""
    if on == "slurm":
        from handreid_tui.launch.slurm.request import SlurmRequest

        return (user.slurm or SlurmRequest()).changed(gpus, options or [])
    if options:
        raise UserError("--sbatch is for runs on Slurm: add --on slurm.")
    return None


def places(db: Path | None, runs: Path | None, user: UserFile | None = None) -> Places:
    """The run history and the run directories that a command works on."""
    from handreid_tui.settings import choose_places, read_user_file

    return choose_places(user or read_user_file(), db, runs)


def runs_there_are(db: Path | None, runs: Path | None, user: UserFile | None = None) -> Places:
    """The same for a command on existing runs: a mistyped history is an error, and not created empty."""
    found = places(db, runs, user)
    if not found.db.parent.is_dir():
        raise UserError(f"No such folder: {found.db.parent}. Choose another run history with --db.")
    return found
