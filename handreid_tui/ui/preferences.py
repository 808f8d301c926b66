"""What the UI remembers from one start to the next, in a small JSON file.

How it looks is remembered for every history; what was chosen, marked, sorted and filtered for the one it belongs to.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from engine.data.cache_dir import folder_without_home
from handreid_tui.runs.safe_files import replace_file

LOOKS = ("theme", "axis", "smoothing", "log", "details", "view")  # first words of names
HISTORIES = 100  # that are kept; the one left alone for longest goes first


def default_file() -> Path:
    """`ui.json` in the user's configuration folder."""
    try:
        return user_config_path("handreid", appauthor=False).expanduser() / "ui.json"
    except RuntimeError:  # no HOME, and no entry for the user
        return folder_without_home() / "ui.json"


class Remembered:
    """Values by section and name. Reading what is not there gives the default; a damaged file reads as empty."""

    def __init__(self, path: Path | None, runs: Path) -> None:
        """`runs`: the folder of the runs, which tells one history from another."""
        self._path = path or default_file()
        self._history = str(runs.resolve())
        self._values = _read(self._path)
        self._changed: dict[tuple[str, str], Any] = {}
        self._writing = threading.Lock()

    @property
    def changed(self) -> bool:
        """Whether there is something to write."""
        return bool(self._changed)

    def get(self, section: str, name: str, default: Any) -> Any:
        """The value, if it is there and of the default's type."""
        value = self._section(self._values, section, name).get(name, default)
        return value if default is None or isinstance(value, type(default)) else default

    def put(self, section: str, name: str, value: Any) -> None:
        known = self._section(self._values, section, name)
        if known.get(name) != value:
            known[name] = self._changed[section, name] = value

    def write(self) -> None:
        """Save what changed, beside what others wrote. A folder that cannot be written does not disturb the user."""
        with self._writing:
            changed, self._changed = self._changed, {}
            if not changed:
                return
            values = _read(self._path)
            for (section, name), value in changed.items():
                self._section(values, section, name)[name] = value
            kept = values["histories"]
            if self._history in kept:
                kept[self._history] = kept.pop(self._history)
            values["histories"] = {name: kept[name] for name in list(kept)[-HISTORIES:]}
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                replace_file(self._path, (json.dumps(values, indent=1) + "\n").encode())
            except OSError:
                self._changed = changed | self._changed

    def _section(self, values: dict[str, Any], section: str, name: str) -> dict[str, Any]:
        """Where in the file a value stands."""
        if name.split()[0] not in LOOKS:
            values = values["histories"].setdefault(self._history, {})
        found: dict[str, Any] = values.setdefault(section, {})
        return found


def _read(path: Path) -> dict[str, Any]:
    try:
        values = _dicts(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):
        values = {}
    histories = _dicts(values.get("histories"))
    return values | {"histories": {name: _dicts(sections) for name, sections in histories.items()}}


def _dicts(raw: Any) -> dict[str, dict[str, Any]]:
    """What of `raw` is as expected: objects by name."""
    return {name: value for name, value in raw.items() if isinstance(value, dict)} if isinstance(raw, dict) else {}
