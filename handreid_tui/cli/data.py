"""`handreid data check`: what a folder holds."""

from __future__ import annotations

import json
import sys

from rich.table import Table

from engine.data.check import check_folder
from handreid_tui.text.tables import stdout


def check(path: str, format: str, identity_pattern: str | None, decode: bool, as_json: bool) -> int:
    """Print layout, counts and verdict. Returns 0, 1 where a few images are damaged, 2 where nothing can be trained on.

    Raises UserError where nothing is recognised.
    """
    found = check_folder(path, format, decode=decode, identity_pattern=identity_pattern)
    damaged: dict[str, str] = found.get("reasons", {})
    status = 2 if not found["trainable"] else 1 if damaged else 0
    if as_json:
        print(json.dumps(found, indent=2))
        return status
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
    out.print(found["verdict"], markup=False, soft_wrap=True)
    for warning in found["warnings"]:
        print(f"Note: {warning}", file=sys.stderr)
    for name, reason in damaged.items():
        print(f"Cannot be decoded: {name} ({reason})", file=sys.stderr)
    return status
