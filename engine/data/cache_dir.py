"""Where drawn and decoded images are kept between runs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """`HANDREID_CACHE`, else `handreid` in the user's cache folder."""
    if own := os.environ.get("HANDREID_CACHE"):
        return Path(own).expanduser()
    from platformdirs import user_cache_path  # some milliseconds that most commands need not spend

    try:
        return user_cache_path("handreid", appauthor=False).expanduser()  # an old platformdirs leaves `~`
    except RuntimeError:  # no HOME, and no entry for the user: a container, a service
        return folder_without_home() / "cache"


def folder_without_home() -> Path:
    """A folder of this user's own, until the machine is restarted, for what belongs into a home directory."""
    return Path(tempfile.gettempdir()) / f"handreid-home-{os.getuid()}"
