"""A comparison in the formats that people paste: terminal table, Markdown, LaTeX, CSV, JSON.

Tables show percent; CSV and JSON hold fractions in [0, 1] and every number in full.
"""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from handreid_tui.compare.comparison import Comparison, Section
from handreid_tui.compare.sheets import Cell, Sheet, sheets
from handreid_tui.compare.statistics import Spread
from handreid_tui.compare.table import COLUMNS, TESTED, Row

if TYPE_CHECKING:
    from rich.console import RenderableType

Format = Literal["table", "markdown", "latex", "csv", "json"]
FORMATS: tuple[Format, ...] = ("table", "markdown", "latex", "csv", "json")


def render(comparison: Comparison, format: Format = "table") -> RenderableType:
    """The comparison in one of FORMATS: a Rich renderable for "table", else text."""
    if format == "table":
        from handreid_tui.compare.terminal_tables import ComparisonView  # Rich is imported only to draw

        return ComparisonView(comparison)
    return {"markdown": _markdown, "latex": _latex, "csv": _csv, "json": _json}[format](comparison)


def _markdown(comparison: Comparison) -> str:
    parts = []
    for section in comparison.sections:
        for level, sheet in enumerate(sheets(section)):
            parts.append(f"{'###' if level else '##'} {sheet.title}")
            if sheet.headers:
                lines = [sheet.headers, ["---:" if number else "---" for number in sheet.numeric]]
                lines += [[_markdown_cell(cell) for cell in row] for row in sheet.rows]
                parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
            parts += [note.replace("|", "\\|") for note in sheet.notes]
    return "\n\n".join([*parts, *comparison.notes]) + "\n"


def _markdown_cell(cell: Cell) -> str:
    text = str(cell).replace("\\", "\\\\").replace("|", "\\|").replace("_", "\\_").replace("*", "\\*")
    return f"**{text}**" if cell.bold else text


def _latex(comparison: Comparison) -> str:
    """booktabs tables, no wider than the column that they are pasted into."""
    tables = [_latex_sheet(section, sheet) for section in comparison.sections for sheet in sheets(section)]
    notes = [f"% {note}" for note in comparison.notes]
    return "\n\n".join(["% needs \\usepackage{booktabs,graphicx}", *tables, *notes]) + "\n"


def _latex_sheet(section: Section, sheet: Sheet) -> str:
    title = section.table.protocol.title
    caption = " ".join([f"{title}." if sheet.title == title else f"{sheet.title} ({title}).", *sheet.notes])
    if not sheet.headers:
        return f"% {caption}"
    return "\n".join(
        [
            "\\begin{table}",
            "\\centering",
            f"\\caption{{{_escape(caption)}}}",
            "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%",
            f"\\begin{{tabular}}{{{''.join('r' if number else 'l' for number in sheet.numeric)}}}",
            "\\toprule",
            " & ".join(map(_escape, sheet.headers)) + " \\\\",
            "\\midrule",
            *(" & ".join(map(_latex_cell, row)) + " \\\\" for row in sheet.rows),
            "\\bottomrule",
            "\\end{tabular}}",
            "\\end{table}",
        ]
    )


def _latex_cell(cell: Cell) -> str:
    text = _escape(str(cell))
    return f"\\textbf{{{text}}}" if cell.bold else text


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "–": "--",
    "·": r"$\cdot$",
    "°": r"$^\circ$",
    "Δ": r"$\Delta$",
    "[": "{[}",  # a bracket after \\ would be read as a length
    "]": "{]}",
}


def _escape(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _csv(comparison: Comparison) -> str:
    """One line a row of the tables; claims and published rows are in JSON."""
    lines = [_csv_line(section, row) for section in comparison.sections for row in section.table.rows]
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def _csv_line(section: Section, row: Row) -> dict[str, Any]:
    protocol = section.table.protocol
    line: dict[str, Any] = asdict(protocol) | {
        "row": row.label,
        "combo": row.combo,
        "baseline": int(row.baseline),
        "seeds": row.seeds,
        "runs": " ".join(run.name for run in row.runs),
    }
    for column in COLUMNS:
        line |= _mean_and_std(column.key, row.metrics.get(column.key))
    line |= _mean_and_std("seconds", row.seconds)
    for metric in TESTED:
        compared = row.compared.get(metric)
        values = asdict(compared.difference) if compared else {}
        for key in ("estimate", "low", "high", "p"):
            line[f"difference_{metric}_{key}"] = _number(values.get(key))
        line[f"difference_{metric}_p_adjusted"] = _number(compared.p_adjusted) if compared else None
        line[f"difference_{metric}_verdict"] = compared.verdict if compared else None
        line[f"difference_{metric}_unequal_tuning"] = compared.unequal if compared else None
        line[f"difference_{metric}_against"] = compared.baseline if compared else None
    tuning = row.tuning.as_json() if row.tuning else {}
    for key in ("sweep", "trials", "method", "folds", "validation", "other_folds"):
        line[f"tuning_{key}"] = tuning.get(key)
    return line


def _mean_and_std(key: str, value: Spread | None) -> dict[str, float | None]:
    return {f"{key}_mean": value.mean if value else None, f"{key}_std": value.std if value else None}


def _json(comparison: Comparison) -> str:
    sections = [_json_section(section) for section in comparison.sections]
    return json.dumps({"by": comparison.by, "protocols": sections, "notes": list(comparison.notes)}, indent=2) + "\n"


def _json_section(section: Section) -> dict[str, Any]:
    table = section.table
    found: dict[str, Any] = {
        "protocol": asdict(table.protocol),
        "rows": [_json_row(row) for row in table.rows],
        "configuration": table.configuration,
        "notes": list(table.notes),
    }
    if section.findings is not None:
        found["claims"] = [
            {
                "term": finding.claim.term,
                "claim": finding.claim.says,
                "figure": finding.claim.figure,
                "unit": finding.claim.unit or None,
                "better": finding.claim.better,
                "with": finding.combo,
                "without": finding.without,
                "value_with": finding.values and asdict(finding.values[0]),
                "value_without": finding.values and asdict(finding.values[1]),
                "difference": _json_difference(finding.difference, finding.p_adjusted),
                "outcome": finding.outcome,
                "reason": finding.reason,
            }
            for finding in section.findings
        ]
    if section.published is not None:
        found["published"] = [asdict(row) for row in section.published]
    return found


def _json_row(row: Row) -> dict[str, Any]:
    return {
        "row": row.label,
        "combo": row.combo,
        "baseline": row.baseline,
        "before_training": not row.runs,
        "seeds": row.seeds,
        "runs": [{"run": run.number, "name": run.name, "seed": run.seed} for run in row.runs],
        "metrics": {key: asdict(value) for key, value in row.metrics.items()},
        "seconds": row.seconds and asdict(row.seconds),
        "tuning": row.tuning and row.tuning.as_json(),
        "differences": {
            metric: {"against": one.baseline, "verdict": one.verdict, "unequal_tuning": one.unequal or None}
            | (_json_difference(one.difference, one.p_adjusted) or {})
            for metric, one in row.compared.items()
        },
    }


def _json_difference(difference: Any, p_adjusted: float | None) -> dict[str, Any] | None:
    if difference is None:
        return None
    return {key: _number(value) for key, value in asdict(difference).items()} | {"p_adjusted": p_adjusted}


def _number(value: Any) -> Any:
    """NaN is not JSON."""
    return None if isinstance(value, float) and math.isnan(value) else value
