"""What the UI remembers from one start to the next: theme, page, sort, filter, selection. A small JSON file."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any


def default_file() -> Path:
    """`ui.json` in the user's configuration folder."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "handreid" / "ui.json"


class Remembered:
    """Values by section and name. Reading what is not there gives the default; a damaged file reads as empty."""

    def __init__(self, path: Path, values: dict[str, dict[str, Any]]) -> None:
        self._path = path
        self._values = values
        self._changed = False

    @classmethod
    def read(cls, path: Path | None = None) -> Remembered:
        path = path or default_file()
        try:
            raw = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError):
            raw = {}
        sections = raw.items() if isinstance(raw, dict) else ()
        return cls(path, {name: section for name, section in sections if isinstance(section, dict)})

    def get(self, section: str, name: str, default: Any) -> Any:
        """The value, if it is there and of the default's type."""
        value = self._values.get(section, {}).get(name, default)
        return value if default is None or isinstance(value, type(default)) else default

    def put(self, section: str, name: str, value: Any) -> None:
        if self._values.setdefault(section, {}).get(name) != value:
            self._values[section][name] = value
            self._changed = True

    def write(self) -> None:
        """Save. A folder that cannot be written is no reason to disturb the user."""
        if not self._changed:
            return
        with suppress(OSError, TypeError, ValueError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._path.with_name(f".{self._path.name}.{os.getpid()}")
            fresh.write_text(json.dumps(self._values, indent=1) + "\n")
            fresh.replace(self._path)
            self._changed = False
