"""The whole answer of `handreid compare`: per protocol a table, and on request the claims and the published rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.contract.combos import COMBOS
from engine.contract.errors import UserError
from engine.contract.published import Published
from handreid_tui.compare.claims import Finding, check_claims
from handreid_tui.compare.finished_run import FinishedRun
from handreid_tui.compare.published import published_rows
from handreid_tui.compare.resampling import RESAMPLES
from handreid_tui.compare.table import By, Table, compare_runs


@dataclass(frozen=True)
class Section:
    """One protocol: its table, and, where asked for, findings on the claims and published rows (empty: none fit)."""

    table: Table
    findings: tuple[Finding, ...] | None = None
    published: tuple[Published, ...] | None = None


@dataclass(frozen=True)
class Comparison:
    sections: tuple[Section, ...]
    by: By
    notes: tuple[str, ...] = ()


def compare(
    runs: Sequence[FinishedRun],
    by: By = "combo",
    baseline: str = "ce",
    claims: bool = False,
    published: bool = False,
    notes: Sequence[str] = (),
    resamples: int = RESAMPLES,
) -> Comparison:
    """Compare finished runs; `notes` are shown below (for example which runs were left out, and why).

    baseline: a combination, or the label of a row. Raises UserError if there are no runs, or nothing is called so.
    """
    if not runs:
        raise UserError(
            "There is no finished run to compare yet. Train some: `handreid run --combo ce --combo ce_triplet`."
        )
    tables = compare_runs(runs, by, baseline, resamples)
    if baseline not in COMBOS and not any(baseline in (row.label, row.combo) for table in tables for row in table.rows):
        have = ", ".join(sorted({run.combo for run in runs}))
        raise UserError(f"No run of {baseline!r} to take as the baseline; there are runs of {have}.")
    grouped = tables if by == "combo" or not claims else compare_runs(runs, "combo", baseline, resamples)
    sections = [
        Section(
            table,
            tuple(check_claims(of_combos, resamples)) if claims else None,
            published_rows(table) if published else None,
        )
        for table, of_combos in zip(tables, grouped, strict=True)
    ]
    return Comparison(tuple(sections), by, tuple(notes))
