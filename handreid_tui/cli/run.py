"""`handreid run`: plan, make the run directories, launch, follow, report."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from rich.table import Table

from engine.contract import run_files
from engine.contract.combos import Combo
from engine.contract.errors import UserError
from engine.contract.metrics import metrics_of
from engine.contract.models import START_MODEL, SYNTHETIC
from engine.contract.start import MINUTES, OFFER
from handreid_tui.cli.agree import agree
from handreid_tui.cli.follow import follow
from handreid_tui.launch import lifecycle
from handreid_tui.launch.grid import Axes
from handreid_tui.launch.plan import check_place, plan
from handreid_tui.launch.slurm.request import SlurmRequest
from handreid_tui.runs import directory
from handreid_tui.runs.progress import RunProgress
from handreid_tui.runs.tags import check_tags
from handreid_tui.settings import Places
from handreid_tui.text.numbers import duration, metric_text
from handreid_tui.text.tables import stderr, stdout

ASK_ABOVE = 100  # runs


def run(
    combos: list[str],
    seeds: list[int],
    settings: dict[str, Any],
    places: Places,
    own: dict[str, Combo],
    *,
    tags: list[str],
    grid: Axes | None = None,
    yes: bool = False,
    gpus: float = 1.0,
    priority: int = 0,
    parallel: int = 1,
    slurm: SlurmRequest | None = None,
    detach: bool = False,
    as_json: bool = False,
) -> int:
    """Train every combo with every combination of the grid's values and every seed.

    Returns the exit status: 0 done, 1 a run failed, 130 interrupted. More than 100 runs are made with `yes`, or after
    an answer on the terminal.

    Raises UserError before anything is made, or with everything removed again where a trainer found the mistake.
    """
    if slurm and (priority or parallel > 1):
        raise UserError("--priority and --parallel apply to this machine only: Slurm has its own order.")
    check_tags(tags)
    if parallel > 1:  # or each of them would take all cores
        settings = {"threads": max(1, (os.cpu_count() or 1) // parallel)} | settings
    say = stderr()
    check_place(settings, grid, on_slurm=slurm is not None)
    chosen = plan(combos, seeds, settings, places.runs, own, tell=say.print, grid=grid)
    say.print(chosen.headline, soft_wrap=True, markup=False)
    epochs_chosen = "train.epochs" in settings | (grid or {})  # then a few steps are what was asked for
    for warning in filter(None, [*chosen.warnings, "" if epochs_chosen else chosen.few_steps]):
        say.print(f"Note: {warning}", style="yellow", soft_wrap=True, markup=False)
    if len(chosen.configs) > ASK_ABOVE:
        agree(f"Train {chosen.count}?", yes, "No run was created.")
    asked: dict[str, Any] = {"slurm": slurm} if slurm else {"gpus": gpus, "priority": priority, "parallel": parallel}
    paths = lifecycle.create_and_launch(places.runs, chosen.configs, tags=tags, **asked)
    if detach:
        _say_detached(paths, as_json)
        return 0

    def ended(progress: RunProgress) -> None:
        if as_json and progress.reason.kind != "usage":
            print(json.dumps(as_object(progress)), flush=True)

    runs = [RunProgress(path) for path in paths]
    interrupted = follow(runs, ended)
    _index(places)
    if mistakes := [progress for progress in runs if progress.reason.kind == "usage"]:
        for progress in mistakes:
            lifecycle.remove(progress.path)
        _index(places)
        reason = mistakes[0].reason
        if as_json or OFFER not in reason.message or not _accepted(reason.message):
            raise UserError(reason.message, reason.setting)
        settings = settings | {"model.name": START_MODEL, "model.pretrained": SYNTHETIC}
        return run(
            combos,
            seeds,
            settings,
            places,
            own,
            tags=tags,
            grid=grid,
            yes=yes,
            gpus=gpus,
            priority=priority,
            parallel=parallel,
            slurm=slurm,
        )
    if not as_json:
        _report(runs)
    if interrupted:
        say.print("Stopped. `handreid resume last` continues where it stopped.")
        return 130
    return 1 if any(progress.status != "finished" for progress in runs) else 0


def as_object(progress: RunProgress) -> dict[str, Any]:
    """One run as the object that `--json` prints. Accuracies are fractions."""
    config = json.loads((progress.path / run_files.CONFIG).read_text())
    summary = progress.summary
    keys = (*(metric.key for metric in metrics_of("report")), "best_epoch", "seconds")
    return {
        "run": directory.number(progress.path),
        "name": progress.path.name,
        "combo": config["combo"],
        "seed": config["seed"],
        "subset": config["data"]["subset"],
        "status": progress.status,
        **{key: summary.get(key) for key in keys},
        "before": summary.get("before"),
        "pixels": summary.get("pixels"),
        "reason": progress.reason.message or None,
        "run_dir": str(progress.path),
    }


def _report(runs: list[RunProgress]) -> None:
    """The table on stdout: raw pixels, before and after the training, on the test identities."""
    done = [run for run in runs if run.status == "finished" and "before" in run.summary]
    if not done:  # or none was tested: evaluation.test=false
        return
    table = Table(title="Test identities, %, mean of the trials", title_justify="left")
    for column in ("", *(metric.title for metric in metrics_of("report", 2)), "epoch", "time"):
        table.add_column(column, justify="left" if not column else "right")
    for stage, name in (("pixels", "raw pixels"), ("before", "before training")):
        rows = {_scores(run.summary.get(stage, {})) for run in done}
        for scores in sorted(rows) if len(rows) == 1 else []:
            table.add_row(name, *scores, "", "", style="dim")
    for run in done:
        if len({_scores(other.summary["before"]) for other in done}) > 1:
            table.add_row(f"{run.path.name}: before", *_scores(run.summary["before"]), "", "", style="dim")
        summary = run.summary
        after = (str(summary["best_epoch"]), duration(summary["seconds"]))
        table.add_row(run.path.name, *_scores(summary), *after, style="bold")
    out = stdout()
    out.print(table)
    out.print("Next: `handreid compare` for the table with intervals, `handreid` for the curves.")


def _scores(metrics: dict[str, Any]) -> tuple[str, ...]:
    return tuple(metric_text(metric, metrics.get(metric.key)) for metric in metrics_of("report", 2))


def _accepted(message: str) -> bool:
    """Whether the user, on a terminal, takes the start on synthetic hands in place of weights that are not there."""
    if not sys.stdin.isatty():
        return False
    print(f"{message}\n", file=sys.stderr)
    question = f"Start from synthetic hands instead ({START_MODEL}; trained once, about {MINUTES} minutes)?"
    try:
        agree(question, yes=False, otherwise="No run was created.")
    except UserError:
        return False
    return True


def _say_detached(paths: list[Path], as_json: bool) -> None:
    for path in paths if as_json else []:
        print(json.dumps({"run": directory.number(path), "name": path.name, "run_dir": str(path), "status": "queued"}))
    follow_one = f"`handreid logs {directory.number(paths[0])} -f` follows the first"
    print(f"{len(paths)} queued. `handreid` shows them, {follow_one}.", file=sys.stderr)


def _index(places: Places) -> None:
    """Bring the run history up to date."""
    from handreid_tui.cli.up_to_date import up_to_date  # imports sqlmodel: half a second

    up_to_date(places).dispose()
