"""`handreid data check`: what a folder holds."""

from __future__ import annotations

import json
import sys

from rich.table import Table

from engine.data.check import check_folder
from handreid_tui.text.tables import stdout


def check(path: str, format: str, decode: bool, as_json: bool) -> int:
    """Print layout and counts; returns 1 where images are damaged, else 0. Raises UserError on anything worse."""
    found = check_folder(path, format, decode=decode)
    damaged = found.get("undecodable", [])
    if as_json:
        print(json.dumps(found, indent=2))
        return 1 if damaged else 0
    table = Table()
    subsets = found["subsets"]
    table.add_column("")
    for subset in subsets:
        table.add_column(subset, justify="right")
    for count in dict.fromkeys(key for counts in subsets.values() for key in counts):
        table.add_row(count.replace("_", " "), *(str(counts.get(count, "–")) for counts in subsets.values()))
    out = stdout()
    out.print(f"{found['found']} in {found['root']}", style="italic")
    out.print(table)
    for warning in found["warnings"]:
        print(f"Note: {warning}", file=sys.stderr)
    for name in damaged:
        print(f"Cannot be decoded: {name}", file=sys.stderr)
    return 1 if damaged else 0
