"""Who owns a run (claim.lock), and what tells one process from another. The standard library alone."""

from __future__ import annotations

import fcntl
import os
import time
from functools import cache
from pathlib import Path

from engine.contract import run_files
from handreid_tui.runs.safe_files import open_file


def claim(path: Path) -> int | None:
    """Own the run until the returned descriptor is closed, at the latest by our death; None where another owns it."""
    lock = os.open(path / run_files.CLAIM, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    for _ in range(50):  # `is_claimed` of somebody else holds it for some microseconds
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            time.sleep(0.01)
    os.close(lock)
    return None


def is_claimed(path: Path) -> bool:
    """Whether a living process holds the claim on the run."""
    lock = open_file(path / run_files.CLAIM)
    if lock is None:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks: the other files must tell
        return False
    finally:
        os.close(lock)


@cache
def boot_id() -> str:
    """Differs after each start of this machine; "" where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def process_started(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: with the pid it names a process for good.

    None where there is no such process, or it is a zombie, or the system has no /proc.
    """
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if after_name[0] in "ZX" else int(after_name[19])
