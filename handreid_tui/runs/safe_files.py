"""Files of a run directory, which may come from someone else: no link is followed, no pipe waited for.

The standard library alone: the shim imports this too.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.contract.errors import UserError
from handreid_tui.text.streams import readable

_LARGEST_JSON = 1 << 20


def inside(run: Path, *parts: str) -> Path:
    """The path of a file of the run. Raises UserError where any part of it is a link or leads out of the run."""
    path = run
    for part in parts:
        path = path / part
        if part in ("", "..") or "/" in part or path.is_symlink():
            raise UserError(f"{path} leads out of its run directory; remove it to continue.")
    return path


def read_json(path: Path, limit: int = _LARGEST_JSON) -> dict[str, Any]:
    """The JSON object in a file of at most `limit` bytes; {} where it is missing, damaged, a link, or no object."""
    return parse_json(read_bytes(path, limit=limit) or b"")


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace `path` by `value` as JSON, atomically and durably; a link at `path` is replaced, not followed."""
    replace_file(path, (json.dumps(value, indent=2) + "\n").encode())


def plain(value: Any, limit: int) -> str:
    """`value` if it is text, safe in a terminal and a database: at most `limit` long, without control characters."""
    if not isinstance(value, str):
        return ""
    return "".join(c for c in readable(value[:limit]) if c.isprintable() or c in "\n\t")


def explain(error: OSError) -> str:
    """What an operating system's error means for a user, with the way out."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full. Free some space, or choose another place with --runs."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "permission denied. Choose another place with --runs."
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return "it is not a folder. Choose another place with --runs."
    return f"{(error.strerror or str(error)).lower()}."


def open_file(path: Path) -> int | None:
    """A descriptor of a regular file, or None: no link is followed, no pipe waited for."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    return None


def read_bytes(path: Path, start: int = 0, limit: int = _LARGEST_JSON) -> bytes | None:
    file = open_file(path)
    if file is None:
        return None
    try:
        return os.pread(file, limit, start)
    except OSError:
        return None
    finally:
        os.close(file)


def parse_json(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def replace_file(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with open(file, "wb") as out:  # noqa: PTH123
            out.write(content)
            out.flush()
            os.fsync(file)
        fresh.replace(path)
    except BaseException:
        with suppress(OSError):
            fresh.unlink()
        raise


def in_threads(work: Callable[..., Any], *arguments: Iterable[Any]) -> None:
    """`work` for each tuple of arguments. Files synced at the same time cost hardly more than one."""
    each = list(zip(*arguments, strict=True))
    if len(each) < 2:
        for one in each:
            work(*one)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(16) as pool:
        for done in [pool.submit(work, *one) for one in each]:
            done.result()


def is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def modified(path: Path) -> float | None:
    return size_and_time(path)[1]


def size_and_time(path: Path) -> tuple[int, float | None]:
    try:
        found = path.lstat()
    except OSError:
        return 0, None
    return (found.st_size, found.st_mtime) if stat.S_ISREG(found.st_mode) else (0, None)
