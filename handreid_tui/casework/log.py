"""The log of a case: a JSON object a line, each with the hash of the line before and its own.

A chain shows careless edits. Whoever can rewrite every line can make a new chain: note the last hash elsewhere.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.errors import UserError
from handreid_tui.runs.safe_files import explain

FILE = "log.jsonl"
START = "0" * 64


@dataclass(frozen=True)
class Checked:
    """What the check of a log found: entries, the hash of the last, and the first fault (empty: none)."""

    entries: list[dict[str, Any]]
    head: str
    fault: str


def append(case: Path, kind: str, **fields: Any) -> str:
    """Append an entry with time and user; returns its hash. Raises UserError on a damaged or unwritable log."""
    path = case / FILE
    try:
        with path.open("a+b") as file:
            os.fchmod(file.fileno(), 0o600)
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            content = file.read()
            before = check_lines(content)
            if before.fault and content:
                raise UserError(f"{path} is damaged ({before.fault}): nothing is added to it.")
            entry = {"t": _now(), "user": _user(), "kind": kind, **fields, "previous": before.head}
            entry["sha256"] = _hash(entry)
            file.write(_dump(entry) + b"\n")
            file.flush()
            os.fsync(file.fileno())
            return str(entry["sha256"])
    except OSError as error:
        raise UserError(f"{path} cannot be written: {explain(error)}") from None


def check(case: Path) -> Checked:
    """Check the chain of a case's log. Raises UserError where there is none."""
    try:
        return check_lines((case / FILE).read_bytes())
    except OSError as error:
        raise UserError(f"{case} has no readable log ({(error.strerror or str(error)).lower()}).") from None


def check_lines(content: bytes) -> Checked:
    """Every byte counts: a line must be exactly what was written, with the hash of the one before and its own."""
    entries: list[dict[str, Any]] = []
    head = START
    if content and not content.endswith(b"\n"):
        return Checked(entries, head, "the last line is incomplete")
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            return Checked(entries, head, f"line {number} is not JSON")
        if not isinstance(entry, dict) or _dump(entry) != line:
            return Checked(entries, head, f"line {number} was altered")
        if entry.get("previous") != head:
            return Checked(entries, head, f"line {number} does not follow line {number - 1}")
        if entry.get("sha256") != _hash(entry):
            return Checked(entries, head, f"line {number} was changed")
        entries.append(entry)
        head = entry["sha256"]
    return Checked(entries, head, "" if entries else "it is empty")


def _hash(entry: dict[str, Any]) -> str:
    return hashlib.sha256(_dump({key: value for key, value in entry.items() if key != "sha256"})).hexdigest()


def _dump(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a name for the user
        return str(os.getuid())
