"""`handreid report`: a comparison as one HTML file that needs nothing else: no script, no font, no request."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from sqlalchemy import Engine

from engine.contract import run_files
from engine.contract.config import flatten, resolve
from engine.contract.errors import UserError
from handreid_tui.compare.comparison import Comparison, Section, compare
from handreid_tui.compare.configuration import show
from handreid_tui.compare.finished_run import FinishedRun
from handreid_tui.compare.from_history import finished_runs
from handreid_tui.compare.hardest_queries import GalleryRanking, hardest_queries
from handreid_tui.compare.plots import PLOTS, SHOWN_ROWS, inline_svg
from handreid_tui.compare.sheets import Cell, Sheet, sheets
from handreid_tui.compare.table import By, Row
from handreid_tui.text.streams import readable

STYLE = Path(__file__).with_name("report.css")
TEMPLATE = Path(__file__).with_name("report.html")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # the browser itself refuses any request
CAPTIONS = {
    "loss": "One line per run, one colour per row. Terms are unweighted.",
    "validation": "On the validation images, after each epoch.",
    "geometry": "Distances between unit-length features of the validation images, after each epoch.",
    "cmc": "Share of test queries whose match is among the first k; mean over trials and seeds.",
    "roc": "All pairs of query and gallery of the test trials; mean over seeds.",
    "det": "Searches for enrolled people that miss them (FNIR) against searches for others that give a candidate "
    "(FPIR); the first run of each row, with a 95 % band by person. An FPIR below 3 / people cannot be measured.",
    "tippett": "Share of test pairs with a larger likelihood ratio: same person (upper curves), different people "
    "(lower). Cross-fitted by person; bounded by the number of people; the first run of each row.",
    "ece": "Cost of decisions at each prior. Dotted: the best possible calibration. Grey: LR = 1 always. The first run "
    "of each row.",
    "embedding": "The test features of the first run of each row on their first two principal components; one colour "
    "per identity. These are two of many dimensions: clusters that overlap here may be apart in others.",
    "tuning": "Mean of the best validation mAP over all choices of n of the trials (Tang et al. 2020). Where it no "
    "longer rises, more trials would not help.",
    "importance": "Importance of each setting for being among the best trials (PED-ANOVA); the shares add up to 1.",
}
OF_SWEEPS = ("tuning", "importance")  # left out where no sweep has them


def write_report(
    history: Engine, path: Path, names: Sequence[str] = (), by: By | None = None, baseline: str = "ce"
) -> Comparison:
    """Write the report on the named runs, or on all finished ones, to `path`; returns what it shows.

    Raises UserError where there is nothing to report or `path` cannot be written.
    """
    if not path.parent.is_dir():
        why = f"there is no folder {path.parent}"
        raise UserError(f"The report cannot be written to {path} ({why}): name another file with -o.")
    runs, notes = finished_runs(history, names)
    comparison = compare(runs, by or ("run" if names else "combo"), baseline, claims=True, published=True, notes=notes)
    page = _page(history, comparison)
    try:
        path.write_text(readable(page), encoding="utf-8")
    except OSError as error:
        why = str(error.strerror or error)
        raise UserError(f"The report cannot be written to {path} ({why}): name another file with -o.") from None
    return comparison


@dataclass(frozen=True)
class Figure:
    """A plot as SVG, or why it could not be drawn."""

    title: str
    caption: str
    svg: Markup
    problem: str = ""


@dataclass(frozen=True)
class Hardest:
    """The hardest queries of a run, or why they cannot be shown."""

    run: str
    rankings: Sequence[GalleryRanking]
    problem: str = ""


@dataclass(frozen=True)
class ReportSection:
    """What the template shows of one protocol."""

    title: str
    sheets: list[Sheet]
    rows_shown: int
    rows_left_out: int
    figures: list[Figure]
    hardest: list[Hardest]
    shared: list[tuple[str, str]]
    configurations: list[tuple[str, str]]
    environment: list[tuple[str, list[str]]]
    commands: list[str]


def _page(history: Engine, comparison: Comparison) -> str:
    count = sum(len(row.runs) for section in comparison.sections for row in section.table.rows)
    loader = FileSystemLoader(TEMPLATE.parent)
    environment = Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    return environment.get_template(TEMPLATE.name).render(
        policy=POLICY,
        style=Markup(STYLE.read_text(encoding="utf-8")),
        counted=_count(count, "run"),
        made=time.strftime("%Y-%m-%d %H:%M %Z"),
        notes=comparison.notes,
        sections=[_section(history, section) for section in comparison.sections],
        cell_class=_cell_class,
    )


def _section(history: Engine, section: Section) -> ReportSection:
    rows = [row for row in section.table.rows if row.runs]
    shown = rows[:SHOWN_ROWS]
    runs = [run for row in rows for run in row.runs]
    return ReportSection(
        title=section.table.protocol.title,
        sheets=_wanted(section),
        rows_shown=len(shown),
        rows_left_out=len(rows) - len(shown),
        figures=_figures(history, shown),
        hardest=[_hardest(row.runs[0]) for row in shown[:4]],
        shared=_shared(runs),
        configurations=[(run.name, json.dumps(run.config.model_dump(), indent=2)) for run in runs],
        environment=_environment(runs),
        commands=[command(row) for row in rows],
    )


def _wanted(section: Section) -> list[Sheet]:
    """The tables of the section; a list of published results without any is not worth a heading here."""
    return [sheet for sheet in sheets(section) if sheet.rows or sheet.title != "Published results"]


def _cell_class(cell: Cell, number: bool) -> str:
    return " ".join(name for name, wanted in (("number", number), ("best", cell.bold)) if wanted)


def _figures(history: Engine, rows: Sequence[Row]) -> list[Figure]:
    figures = {kind: _figure(history, rows, kind) for kind in PLOTS}
    return [figure for kind, figure in figures.items() if not (kind in OF_SWEEPS and figure.problem)]


def _figure(history: Engine, rows: Sequence[Row], kind: str) -> Figure:
    title = PLOTS[kind][0]
    try:
        return Figure(title, CAPTIONS[kind], Markup(inline_svg(history, rows, kind)))
    except UserError as error:
        return Figure(title, CAPTIONS[kind], Markup(), str(error))


def _hardest(run: FinishedRun) -> Hardest:
    try:
        return Hardest(run.name, hardest_queries(run.evaluation))
    except UserError as error:
        return Hardest(run.name, (), str(error))


def _shared(runs: list[FinishedRun]) -> list[tuple[str, str]]:
    """The settings that all runs share."""
    flat = [flatten(run.config) for run in runs]
    same = {key: value for key, value in flat[0].items() if all(key in f and f[key] == value for f in flat)}
    return [(key, show(value)) for key, value in same.items()]


def _environment(runs: list[FinishedRun]) -> list[tuple[str, list[str]]]:
    """Versions and machines: each value with the runs that it holds for, where they differ."""
    values: dict[str, dict[str, list[str]]] = {}
    for run in runs:
        for key, value in _flat(_environment_of(run)).items():
            values.setdefault(key, {}).setdefault(show(value), []).append(run.name)
    return [
        (key, [value if len(found) == 1 else f"{value} ({', '.join(names)})" for value, names in found.items()])
        for key, found in values.items()
    ]


def _environment_of(run: FinishedRun) -> dict[str, Any]:
    try:
        found = json.loads((run.directory / run_files.ENVIRONMENT).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        name = f"{prefix}{key}"
        flat |= _flat(inner, f"{name} ") if isinstance(inner, dict) else {name: inner}
    return flat


def command(row: Row) -> str:
    """The `handreid run` that trains the runs of a row: the combination, its seeds, and what is not the default."""
    run = row.runs[0]
    if run.members:
        return "handreid fuse " + " ".join(str(each["run"]) for each in run.members)
    settings = flatten(run.config)
    named = {"data.source": "--data", "model.name": "--model", "train.epochs": "--epochs", "data.subset": "--subset"}
    words = [f"handreid run --combo {shlex.quote(run.combo)}", *(f"--seed {each.seed}" for each in row.runs)]
    usual: dict[str, Any] = {}
    try:
        chosen = {key: settings[key] for key in ("data.source", "model.name")}
        usual = flatten(resolve(run.combo, run.seed, **chosen))
        usual |= {"data.source": "synthetic"} | ({} if settings["data.source"] == "synthetic" else {"model.name": None})
    except UserError:
        pass  # a combination of the user's own handreid.toml: every setting is written out
    for key, value in settings.items():
        if key in ("version", "combo", "seed") or usual.get(key, ...) == value:
            continue
        text = value if isinstance(value, str) else json.dumps(value)
        words.append(f"{named[key]} {shlex.quote(text)}" if key in named else f"--set {shlex.quote(f'{key}={text}')}")
    return " ".join(words)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
