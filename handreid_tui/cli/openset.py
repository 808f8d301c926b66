"""`handreid openset`: what happens when the person searched for may not be in the gallery."""

from __future__ import annotations

import json
from dataclasses import dataclass

from rich.table import Table

from engine.contract.errors import UserError
from handreid_tui.compare.evaluation import read_evaluation
from handreid_tui.evidence.open_set_report import AtRate, OpenSetReport, report_open_set
from handreid_tui.evidence.resamples import ResampledEstimate
from handreid_tui.runs.select import find_runs
from handreid_tui.settings import Places
from handreid_tui.text.numbers import percent
from handreid_tui.text.tables import stdout


@dataclass(frozen=True)
class OpenSetRequest:
    """What to report: rates of false positives, lengths of candidate lists, people enrolled, labels to group by."""

    fpirs: list[float]
    ranks: list[int]
    size: int | None
    by: list[str]


def show_open_set(places: Places, names: list[str], other: str | None, asked: OpenSetRequest, as_json: bool) -> None:
    """Print the open-set rates of runs. Raises UserError where one has no evaluation."""
    runs = find_runs(places.runs, names)
    found = [
        (run, report_open_set(read_evaluation(run, other), asked.fpirs, asked.ranks, asked.size, asked.by))
        for run in runs
    ]
    if as_json:
        print(json.dumps([{"run": run.name, "evaluation": other, **report.as_json()} for run, report in found]))
        return
    for place, (run, report) in enumerate(found):
        if place:
            print()
        _print(run.name + (f" on {other}" if other else ""), report)


def parse_rates(text: str) -> list[float]:
    """`0.1,0.01` as fractions. Raises UserError on anything else."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 < rate < 1 for rate in found):
        raise UserError(f"--fpir takes fractions between 0 and 1, such as 0.1,0.01, but got {text!r}.")
    return found


def parse_ranks(text: str) -> list[int]:
    """`1,5,20` as whole numbers. Raises UserError on anything else."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 0 < int(part) < 10_000 for part in parts):
        raise UserError(f"--list takes lengths of candidate lists, such as 1,5,20, but got {text!r}.")
    return [int(part) for part in parts]


def interval(estimate: ResampledEstimate) -> str:
    """A rate's 95 % interval in percent."""
    if estimate.low != estimate.low:
        return "(no interval)"
    return f"[{percent(estimate.low)}, {percent(estimate.high)}]"


def _print(title: str, report: OpenSetReport) -> None:
    out = stdout()
    out.print(title, style="bold")
    out.print(_about(report))
    if not report.modelled:
        out.print(_rates(report.rates))
    else:
        out.print(_modelled(report))
    lists = _table("candidate list, no threshold", "FNIR %", "95 %")
    for each in report.lists:
        lists.add_row(f"first {each.rank}", percent(each.fnir.value), interval(each.fnir))
    out.print(lists)
    if report.groups:
        out.print(_groups(report))
    out.print(
        "FNIR: the person is enrolled and missed. FPIR: the person is not enrolled and someone reaches the threshold.",
        style="dim",
    )


def _about(report: OpenSetReport) -> str:
    parts = [f"{report.searches} searches of {report.people} people"]
    if report.size is None or report.modelled:
        parts.append(f"{report.enrolled} enrolled, {report.without} without the person")
    else:
        parts.append(f"every gallery of {report.size} of {report.enrolled} people, exact expectation")
    if report.without_mate:
        parts.append(f"{report.without_mate} searches without a mate, non-mated only")
    return " · ".join(parts)


def _rates(rates: tuple[AtRate, ...]) -> Table:
    table = _table("FPIR at most", "FNIR %", "95 %", "threshold", "selectivity")
    people = rates[0].fnir.people if rates else 0
    for each in rates:
        name = f"{each.fpir:g}" + (f" (beyond {people} people)" if each.beyond else "")
        numbers = (percent(each.fnir.value), interval(each.fnir), f"{each.threshold:.4f}", f"{each.selectivity:.3f}")
        table.add_row(name, *numbers)
    return table


def _modelled(report: OpenSetReport) -> Table:
    table = _table(f"FPIR at most, {report.size} people", "FNIR %", "threshold", "model: independent comparisons")
    for each in report.modelled:
        basis = "extrapolated beyond the comparisons measured" if each.beyond else "larger than the gallery tested"
        table.add_row(f"{each.fpir:g}", percent(each.fnir), f"{each.threshold:.4f}", basis)
    return table


def _groups(report: OpenSetReport) -> Table:
    table = _table("group", "people", "at FPIR", "FNIR %", "95 %", "FPIR %", "95 %")
    for each in report.groups:
        name = f"{each.label}: {each.group}"
        if each.fnir_at is None or each.fpir_at is None:
            table.add_row(name, str(each.people), f"{each.fpir:g}", "too few people")
        else:
            rates = (each.fnir_at, each.fpir_at)
            numbers = [text for rate in rates for text in (percent(rate.value), interval(rate))]
            table.add_row(name, str(each.people), f"{each.fpir:g}", *numbers)
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(first)
    for title in others:
        table.add_column(title, justify="left" if title.startswith("model") else "right")
    return table
