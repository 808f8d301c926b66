"""`handreid identify` and `verify`: a search as a case, and its log."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rich.table import Table

from engine.contract import run_files
from engine.contract.errors import UserError
from engine.data.catalog import ASPECTS
from handreid_tui.casework import log
from handreid_tui.casework.case import Case
from handreid_tui.casework.identify import IdentifyRequest, WrittenCase, identify
from handreid_tui.casework.report import basis, lead, rate
from handreid_tui.evidence.calibration import hash_file
from handreid_tui.runs.select import find_run
from handreid_tui.settings import Places
from handreid_tui.text.tables import printable, stdout

VERIFIERS = 2


def calibration_file(places: Places, run: Path, given: str | None) -> Path | None:
    """The evidence.json of `--calibration RUN|FILE`; without it the run's own, None where it has none."""
    if given is None:
        own = run / run_files.EVALUATION / run_files.EVIDENCE
        return own if own.is_file() else None
    if Path(given).is_file():
        return Path(given)
    return find_run(places.runs, given) / run_files.EVALUATION / run_files.EVIDENCE


def check_aspect(text: str) -> str:
    """Raises UserError on what is no aspect."""
    if text and text not in ASPECTS:
        raise UserError(f"--aspect takes {', '.join(ASPECTS)}, but got {text!r}.")
    return text


def show_search(request: IdentifyRequest, as_json: bool) -> None:
    """Search, and print the candidates. Raises UserError as `identify` does."""

    def progress(done: int, total: int) -> None:
        print(f"Embedded {done} of {total} images of the gallery.", file=sys.stderr)

    made = identify(request, progress)
    if as_json:
        print(json.dumps({"folder": str(made.folder), "head": made.head, **made.case.model_dump(mode="json")}))
        return
    _print(made)


def _print(made: WrittenCase) -> None:
    out, case = stdout(), made.case
    photos = f"{len(case.photos)} photo{'s' if len(case.photos) > 1 else ''}"
    out.print(f"{case.name}: {photos} of one unknown person, {case.people} people searched", style="bold")
    out.print("H1: the photos are of the candidate. H2: of another, unrelated person of the calibration's population.")
    out.print(_candidates(case))
    out.print(basis(case))
    if case.threshold is not None:
        above = sum(c.above_threshold is True for c in case.candidates)
        reached = "1 candidate reaches it" if above == 1 else f"{above} candidates reach it"
        out.print(f"Threshold {case.threshold:.4f} (FPIR at most {case.fpir:g}): {reached}.")
    if case.withheld:
        out.print("No likelihood ratio: " + "; ".join(case.withheld) + ".", style="yellow")
    for note in case.notes:
        out.print(printable(note), style="yellow")
    out.print(lead(case), style="bold")
    out.print(f"Case: {made.folder}/report.html")
    out.print(f"Note the head of its log elsewhere: {made.head}")


def _candidates(case: Case) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("rank", "person", "cosine", "LR", "without the person"):
        table.add_column(title, justify="left" if title == "person" else "right")
    for c in case.candidates:
        ratio = c.lr or (printable(c.lr_withheld) if not case.withheld else "–")
        table.add_row(c.place, printable(c.person), f"{c.cosine:.4f}", ratio, rate(c.false_candidates, case.least_rate))
    return table


def add_verification(case: Path, name: str, finding: str) -> None:
    """Append what a person found by eye to the log. Raises UserError on an empty name or finding, or a damaged log."""
    if not name.strip() or not finding.strip():
        raise UserError("A verification needs a name and a finding: --by NAME --finding TEXT.")
    if not (case / log.FILE).is_file():
        raise UserError(f"{case} is not a case: it has no {log.FILE}.")
    head = log.append(case, "verification", by=name.strip(), finding=finding.strip())
    names = _verifiers(log.check(case).entries)
    print(f"Verified by {len(names)} of {VERIFIERS} people: {', '.join(names)}.")
    print(f"Note the head of the log elsewhere: {head}")


def check_case(case: Path, head: str | None) -> None:
    """Check the log and the files that it names, and print the result. Raises UserError on the first fault."""
    found = log.check(case)
    if found.fault:
        raise UserError(f"The log of {case} is damaged: {found.fault}.")
    if head and head != found.head and head not in [entry["sha256"] for entry in found.entries]:
        raise UserError(f"The log of {case} does not contain the entry {head}: it was rewritten.")
    for entry in found.entries:
        for name, digest in entry.get("files", {}).items():
            if hash_file(case / name) != digest:
                raise UserError(f"{case / name} does not match the log: it was changed or is missing.")
    names = _verifiers(found.entries)
    print(f"{len(found.entries)} entries, all unchanged. Head {found.head}")
    print(f"Verified by {len(names)} of {VERIFIERS} people{': ' + ', '.join(names) if names else ''}.")


def _verifiers(entries: list[dict[str, str]]) -> list[str]:
    return list(dict.fromkeys(entry["by"] for entry in entries if entry.get("kind") == "verification"))
