"""The folder for synthetic and decoded images, kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`HANDREID_CACHE`, else `handreid` in the user's cache folder."""
    if own := os.environ.get("HANDREID_CACHE"):
        return Path(own).expanduser()
    from platformdirs import user_cache_path  # some milliseconds that most commands need not spend

    return user_cache_path("handreid", appauthor=False)
