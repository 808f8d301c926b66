"""Locks on ranges of a file that belong to the open file: a child process inherits them with the descriptor, and the
kernel frees them when the last holder is dead, however it died. Looking whether one is held does not disturb it.

Linux "open file description" locks, fcntl(2); also over NFS.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FLOCK = struct.Struct("hhqqi0q")  # struct flock: type, whence, start, length, pid


def take(path: Path, start: int = 0, length: int = 1) -> int | None:
    """Lock bytes of `path` until the returned descriptor and its copies are closed; None where another holds one."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, length, 0))
        except BlockingIOError:
            os.close(file)
            return None
        except BaseException:
            os.close(file)
            raise
        if _is_at(path, file):
            return file
        os.close(file)  # deleted in between: a lock that nobody else can see


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Wait for the lock on the first byte of `path`, and hold it for a moment."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLKW, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0))
        yield
    finally:
        os.close(file)


def is_taken(path: Path, start: int = 0, length: int = 1) -> bool:
    """Whether anybody, this process included, holds a lock on one of these bytes."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
        return bool(_FLOCK.unpack(fcntl.fcntl(file, fcntl.F_OFD_GETLK, asked))[0] != fcntl.F_UNLCK)
    finally:
        os.close(file)


def _is_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False
