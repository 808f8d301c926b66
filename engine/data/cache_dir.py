"""Where drawn and decoded images are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`HANDREID_CACHE`, else `handreid` in the user's cache folder."""
    if own := os.environ.get("HANDREID_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "handreid"
