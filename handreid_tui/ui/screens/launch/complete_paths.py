"""The rest of a path while it is typed, from the folders there are."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from textual.suggester import Suggester, SuggestFromList

LOOKED_AT = 5000  # entries of a folder


class PathSuggester(Suggester):
    """Completes a path, one folder at a time, and else one of `words`."""

    def __init__(self, words: Sequence[str], files: tuple[str, ...] = ()) -> None:
        """files: suffixes of the files that are completed too, besides folders."""
        super().__init__(use_cache=False, case_sensitive=True)
        self._words = SuggestFromList(words, case_sensitive=False)
        self._files = files

    async def get_suggestion(self, value: str) -> str | None:
        if "/" in value or value.startswith(("~", ".")):
            return await asyncio.to_thread(complete, value, self._files)
        return await self._words.get_suggestion(value.casefold())


def complete(text: str, files: tuple[str, ...] = ()) -> str | None:
    """`text` completed to the first folder, or file with one of these suffixes, that it begins; None without one."""
    folder, slash, start = text.rpartition("/")
    place = Path(f"{folder}{slash}" or ".").expanduser()
    found = []
    try:
        with os.scandir(place) as entries:
            for count, entry in enumerate(entries):
                wanted = entry.name.startswith(start) and (start or not entry.name.startswith("."))
                if wanted and (entry.is_dir() or entry.name.endswith(files)) and entry.name != start:
                    found.append(entry.name)
                if count == LOOKED_AT:
                    break
    except (OSError, ValueError, RuntimeError):
        return None
    return f"{folder}{slash}{min(found)}" if found else None
