"""Other programs on this terminal: `$EDITOR` for a text, `$PAGER` for a log. The UI waits until they end."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from textual.app import App, SuspendNotSupported

from engine.contract.errors import UserError


def edit_file(app: App[Any], path: Path) -> None:
    """Open a file in `$VISUAL` or `$EDITOR`. Raises UserError where that fails."""
    _run(app, ("VISUAL", "EDITOR"), "vi", path)


def edit_text(app: App[Any], text: str) -> str:
    """The text as the user leaves it in the editor. Raises UserError where that fails."""
    with tempfile.TemporaryDirectory(prefix="handreid-") as folder:
        path = Path(folder) / "note.txt"
        path.write_text(f"{text}\n" if text else "", encoding="utf-8")
        edit_file(app, path)
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise UserError("The edited text is not UTF-8: the note is unchanged.") from None


def page_file(app: App[Any], path: Path) -> None:
    """Open a file in `$PAGER`. Raises UserError where that fails."""
    _run(app, ("PAGER",), "less", path)


def _run(app: App[Any], variables: tuple[str, ...], usual: str, path: Path) -> None:
    chosen = next((os.environ[name] for name in variables if os.environ.get(name)), usual)
    try:
        command = [*shlex.split(chosen), str(path)]
        with app.suspend():
            status = subprocess.run(command, check=False, stderr=sys.__stderr__).returncode
    except SuspendNotSupported:
        raise UserError(f"{chosen} needs a terminal of its own: it cannot be opened here.") from None
    except (OSError, ValueError):
        raise UserError(f"{chosen!r} cannot be started: set ${variables[-1]} to a program.") from None
    if status:
        raise UserError(f"{chosen!r} exited with status {status}.")
