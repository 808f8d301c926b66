"""`handreid report`: a comparison as one HTML file that needs nothing else: no script, no font, no request."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from engine.contract import run_files
from engine.contract.config import flatten, resolve
from engine.contract.errors import UserError
from handreid_tui.compare.comparison import Comparison, Section, compare
from handreid_tui.compare.configuration import show
from handreid_tui.compare.finished_run import FinishedRun
from handreid_tui.compare.from_history import finished_runs
from handreid_tui.compare.hardest_queries import Picture, Ranking, hardest_queries
from handreid_tui.compare.plots import PLOTS, SHOWN_ROWS, inline_svg
from handreid_tui.compare.sheets import Cell, Sheet, sheets
from handreid_tui.compare.table import By, Row

STYLE = Path(__file__).with_name("report.css")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # the browser itself refuses any request
CAPTIONS = {
    "loss": "A line a run, a colour a row. Terms are raw: before their weights.",
    "validation": "On the validation images of the training identities, after each epoch.",
    "geometry": "Distances between unit-length features of the validation images, after each epoch.",
    "cmc": "Share of test queries whose match is among the first k; mean over trials and seeds.",
    "roc": "All pairs of query and gallery of the test trials; mean over seeds.",
    "embedding": "The test features of the first run of each row on their two principal components; a colour an "
    "identity. Two of many dimensions: clusters that overlap here may be apart in the others.",
}


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
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        why = str(error.strerror or error)
        raise UserError(f"The report cannot be written to {path} ({why}): name another file with -o.") from None
    return comparison


def _page(history: Engine, comparison: Comparison) -> str:
    count = sum(len(row.runs) for section in comparison.sections for row in section.table.rows)
    made = time.strftime("%Y-%m-%d %H:%M %Z")
    body = [f"<h1>Hand re-identification</h1><p class=soft>{_count(count, 'run')} · {made} · made by handreid</p>"]
    body += [f"<p class=note>{escape(note)}</p>" for note in comparison.notes]
    body += [_section(history, section) for section in comparison.sections]
    head = (
        '<meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,"><title>handreid report</title>'
    )
    style = f"<style>{STYLE.read_text(encoding='utf-8')}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}{style}</head>\n<body>{"".join(body)}</body></html>\n'


def _section(history: Engine, section: Section) -> str:
    rows = [row for row in section.table.rows if row.runs]
    shown = rows[:SHOWN_ROWS]
    parts = [f"<h2>{escape(section.table.protocol.title)}</h2>"]
    parts += [_sheet(sheet, heading=place > 0) for place, sheet in enumerate(_wanted(section))]
    if len(rows) > len(shown):
        parts.append(f"<p class=note>The figures show the first {len(shown)} of {len(rows)} rows.</p>")
    for kind, (title, _) in PLOTS.items():
        try:
            svg = inline_svg(history, shown, kind)
        except UserError as error:
            parts.append(f"<p class=note>{title}: {escape(str(error))}</p>")
            continue
        caption = f"<figcaption>{title}<br><small>{escape(CAPTIONS[kind])}</small></figcaption>"
        parts.append(f"<figure>{caption}{svg}</figure>")
    parts += [_hardest(row) for row in shown[:4]]
    parts += [_configuration(rows), _environment(rows), _how_to_reproduce(rows)]
    return "\n".join(parts)


def _wanted(section: Section) -> list[Sheet]:
    """The tables of the section; a list of published results without any is not worth a heading here."""
    return [sheet for sheet in sheets(section) if sheet.rows or sheet.title != "Published results"]


def _sheet(sheet: Sheet, heading: bool) -> str:
    align = [" class=number" if number else "" for number in sheet.numeric]
    head = "".join(f"<th{a}>{escape(text)}" for a, text in zip(align, sheet.headers, strict=bool(sheet.rows)))
    lines = ["<tr>" + "".join(map(_cell, row, sheet.numeric)) for row in sheet.rows]
    table = f"<div class=scroll><table><thead><tr>{head}</thead><tbody>{''.join(lines)}</tbody></table></div>"
    notes = "".join(f"<p class=note>{escape(note)}</p>" for note in sheet.notes)
    return (f"<h3>{escape(sheet.title)}</h3>" if heading else "") + (table if sheet.rows else "") + notes


def _cell(cell: Cell, number: bool) -> str:
    names = " ".join(name for name, wanted in (("number", number), ("best", cell.bold)) if wanted)
    detail = f" <small>{escape(cell.detail)}</small>" if cell.detail else ""
    return f'<td class="{names}">{escape(cell.text)}{detail}'


def _hardest(row: Row) -> str:
    run = row.runs[0]
    try:
        rankings = hardest_queries(run.evaluation)
    except UserError as error:
        return f"<p class=note>{escape(str(error))}</p>"
    lines = "".join(map(_ranking, rankings))
    words = "The queries of the first trial whose match comes last, one an identity, and what was ranked before it."
    return f"<h3>Hardest queries of {escape(run.name)}</h3><p class=note>{words}</p>{lines}"


def _ranking(ranking: Ranking) -> str:
    first = _picture(ranking.query, "query", f"query, identity {ranking.query.identity}: match at rank {ranking.rank}")
    others = [
        _picture(
            picture,
            "match" if picture.match else "other",
            f"{picture.rank}: identity {picture.identity}, similarity {picture.similarity:.3f}",
        )
        for picture in ranking.gallery
    ]
    return f"<div class=ranking>{first}{''.join(others)}</div>"


def _picture(picture: Picture, kind: str, words: str) -> str:
    name = escape(picture.name)
    mark = {"match": "<b>✓</b> ", "other": "<b>✗</b> "}.get(kind, "")
    if picture.data is None:
        image = "<span class=gone>image not found</span>"
    else:
        image = f'<img alt="{name}" title="{name}" src="data:image/jpeg;base64,{picture.data}">'
    return f'<div class="picture {kind}">{image}{mark}{escape(words)}</div>'


def _configuration(rows: list[Row]) -> str:
    """What all runs share, and each run's whole configuration."""
    flat = [flatten(run.config) for row in rows for run in row.runs]
    shared = {key: value for key, value in flat[0].items() if all(key in f and f[key] == value for f in flat)}
    lines = "".join(f"<tr><td>{escape(key)}<td>{escape(show(value))}" for key, value in shared.items())
    whole = "".join(
        f"<details><summary>{escape(run.name)}: {run_files.CONFIG}</summary>"
        f"<pre>{escape(json.dumps(run.config.model_dump(), indent=2))}</pre></details>"
        for row in rows
        for run in row.runs
    )
    table = f"<table><tbody>{lines}</tbody></table>"
    return f"<h3>Configuration</h3><details><summary>What all runs share</summary>{table}</details>{whole}"


def _environment(rows: list[Row]) -> str:
    """Versions and machines: each value with the runs that it holds for, where they differ."""
    values: dict[str, dict[str, list[str]]] = {}
    for run in (run for row in rows for run in row.runs):
        for key, value in _flat(_environment_of(run)).items():
            values.setdefault(key, {}).setdefault(show(value), []).append(run.name)
    lines = []
    for key, found in values.items():
        words = [value if len(found) == 1 else f"{value} ({', '.join(names)})" for value, names in found.items()]
        lines.append(f"<tr><td>{escape(key)}<td>{'<br>'.join(map(escape, words))}")
    return f"<h3>Environment</h3><table><tbody>{''.join(lines)}</tbody></table>"


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


def _how_to_reproduce(rows: list[Row]) -> str:
    commands = "\n".join(command(row) for row in rows)
    words = (
        f"These commands train the same runs again. Or, exactly and for one run: save its {run_files.CONFIG} from "
        f"above as <code>runs/NAME/{run_files.CONFIG}</code> and call <code>python -m engine train runs/NAME</code>."
    )
    return f"<h3>How to reproduce</h3><p>{words}</p><pre>{escape(commands)}</pre>"


def command(row: Row) -> str:
    """The `handreid run` that trains the runs of a row: the combination, its seeds, and what is not the default."""
    run = row.runs[0]
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
