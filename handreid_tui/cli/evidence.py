"""`handreid evidence`: what a run's likelihood ratios are worth, and the calibrator that `identify` uses."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from handreid_tui.compare.evaluation import Evaluation, read_evaluation
from handreid_tui.compare.finished_run import read_run
from handreid_tui.evidence.calibration import (
    Calibration,
    CalibrationFigure,
    make_calibration,
    weights_hash,
    write_calibration,
)
from handreid_tui.evidence.evidence import Evidence, weigh
from handreid_tui.evidence.pairs import Shape
from handreid_tui.evidence.resamples import ResampledEstimate
from handreid_tui.evidence.trained_on import trained_people
from handreid_tui.evidence.words import in_words
from handreid_tui.runs.select import find_run
from handreid_tui.settings import Places
from handreid_tui.text.numbers import percent
from handreid_tui.text.tables import stdout

NOT_MEASURED = "–"


@dataclass(frozen=True)
class EvidenceRequest:
    """Images a template, the population of different people, labels to group by, and whether to add words."""

    shape: Shape
    population: str
    by: list[str]
    words: bool


def show_evidence(places: Places, name: str, other: str | None, asked: EvidenceRequest, as_json: bool) -> None:
    """Measure, write `evidence.json`, and print. Raises UserError below 20 people with enough images."""
    run = find_run(places.runs, name)
    evaluation = read_evaluation(run, other)
    evidence = weigh(evaluation, asked.shape, asked.population, asked.by)
    trained = trained_people(read_run(run).config.data, evaluation.root)
    calibration = make_calibration(run.name, evaluation, evidence, trained, weights_hash(run))
    path = write_calibration(evaluation.folder, calibration)
    if as_json:
        print(_as_json(calibration, evidence, path))
    else:
        _print(calibration, evidence, evaluation, path, asked.words)


def _as_json(calibration: Calibration, evidence: Evidence, path: Path) -> str:
    hidden = {"person_hashes", "image_hashes"}
    groups = [
        {"label": g.label, "group": g.group, "people": g.people, "cllr": vars(g.cllr) if g.cllr else None}
        for g in evidence.groups
    ]
    shown = calibration.model_dump(mode="json", exclude=hidden)
    return json.dumps({**shown, "groups": groups, "file": str(path)})


def _print(c: Calibration, evidence: Evidence, evaluation: Evaluation, path: Path, words: bool) -> None:
    out = stdout()
    out.print(c.run + ("" if c.evaluation == "evaluation" else f" on {c.evaluation}"), style="bold")
    population = "all people" if c.population == "all" else f"people of the same {c.population.replace(',', ' and ')}"
    out.print(
        f"{c.people} people, {c.person_pairs} pairs of people · {c.aspect or 'no aspect'} · "
        f"images {c.probe}:{c.reference} · against {population}",
        markup=False,
    )
    if c.left_out:
        out.print(f"{c.left_out} people left out: fewer than {c.probe + c.reference} images.")
    out.print(_measures(c))
    for k, each in c.too_strong.items():
        excess = " (too strong)" if each.low is not None and each.low > 1 / k else ""
        out.print(
            f"LR of at least {k} for different people: {_rate(each)}, at most {100 / k:g} % if calibrated{excess}"
        )
    for power, name in (
        (c.upper, "Largest LR given:"),
        (c.lower, "Smallest LR given:"),
    ):
        out.print(f"{name} {10**power:.3g} (log10 {power:.2f}){in_words(10**power) if words else ''}")
    out.print(f"log10 of the number of people: {math.log10(c.people):.2f}")
    if evidence.groups:
        out.print(_groups(evidence))
    for warning in _warnings(c, evaluation):
        out.print(warning, style="yellow")
    out.print(f"Written to {path}.", style="dim")


def _measures(c: Calibration) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("", "value", "95 %"):
        table.add_column(title, justify="left" if not title else "right")
    table.add_row("Cllr (0 perfect, 1 no information)", f"{c.cllr.value:.3f}", _between(c.cllr, 3))
    least = CalibrationFigure(value=c.cllr_min, low=c.cllr_min_low, high=c.cllr_min_high)
    table.add_row("  due to discrimination, Cllr_min", f"{least.value:.3f}", _between(least, 3))
    table.add_row("  due to calibration, Cllr_cal", f"{c.cllr.value - c.cllr_min:.3f}", "")
    table.add_row("LR below 1 for the same person, %", percent(c.misleading_same.value), _percents(c.misleading_same))
    different = c.misleading_different
    table.add_row("LR above 1 for different people, %", percent(different.value), _percents(different))
    mean = c.mean_ratio_different
    table.add_row("mean LR of different people (calibrated: 1)", f"{mean.value:.2f}", _between(mean, 2))
    return table


def _groups(evidence: Evidence) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("group", "people", "Cllr", "95 %"):
        table.add_column(title, justify="left" if title == "group" else "right")
    for each in evidence.groups:
        numbers = (f"{each.cllr.value:.3f}", _between(each.cllr, 3)) if each.cllr else ("too few people", "")
        table.add_row(f"{each.label}: {each.group}", str(each.people), *numbers)
    return table


def _warnings(c: Calibration, evaluation: Evaluation) -> list[str]:
    found = []
    if c.trained_people is None:
        found.append("Whether these people were trained on is not known: the training data are not available.")
    elif c.trained_people:
        found.append(f"{len(c.trained_people)} of these people were trained on: identify gives no LR from this.")
    if c.images_unread:
        found.append(f"{c.images_unread} images in {evaluation.root} could not be hashed: overlaps may go undetected.")
    if not c.weights:
        found.append("The model of the run was removed: identify cannot use it.")
    return found


def _between(figure: CalibrationFigure | ResampledEstimate, digits: int) -> str:
    if figure.low is None or figure.high is None or figure.low != figure.low:
        return NOT_MEASURED
    return f"[{max(0.0, figure.low):.{digits}f}, {figure.high:.{digits}f}]"


def _percents(figure: CalibrationFigure) -> str:
    return f"[{percent(figure.low)}, {percent(figure.high)}]"


def _rate(figure: CalibrationFigure) -> str:
    return f"{percent(figure.value, 2)} % {_percents(figure)}"
