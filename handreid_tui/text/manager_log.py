"""The log of the manager: tracebacks of bugs, which no screen shows. Rotated at 1 MiB; three older ones are kept."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logging import Logger

LARGEST = 1 << 20  # bytes
KEPT = 3


def log_file() -> Path:
    """`handreid.log` in the user's state folder."""
    from platformdirs import user_state_path

    from engine.data.cache_dir import folder_without_home

    try:
        return user_state_path("handreid").expanduser() / "handreid.log"
    except RuntimeError:  # no HOME, and no entry for the user
        return folder_without_home() / "handreid.log"


def log_bug(where: str) -> None:
    """Log the exception that is being handled, with its traceback; where nothing can be written, nothing is."""
    with suppress(OSError):
        _logger(log_file()).exception(where)


@cache
def _logger(path: Path) -> Logger:
    import logging  # not needed by a program without bugs
    from logging.handlers import RotatingFileHandler

    path.parent.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger(f"handreid.manager.{path}")
    handler = RotatingFileHandler(path, maxBytes=LARGEST, backupCount=KEPT, delay=True, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(message)s"))
    logger.addHandler(handler)
    logger.propagate = False
    return logger
