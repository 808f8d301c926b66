"""Oracle 15: photos may be evidence. Nothing is written beside them, and no cache holds them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.casework.test_identify import photo

SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"JFIF", b"RIFF")


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Size, time of change and mode of everything in a folder, itself included."""
    paths = [folder, *sorted(folder.rglob("*"))]
    return {str(p): (s.st_size, s.st_mtime_ns, s.st_mode) for p in paths if (s := p.stat())}


def test_gallery_photos_and_cache_stay_as_they_were(desk: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    watched = (desk / "gallery", desk / "photos", cache)
    before = [snapshot(each) for each in watched]
    words = ["identify", "1", f"../photos/{photo(desk).name}", "--gallery", "../gallery", "--runs", "../runs"]
    command = [sys.executable, "-m", "handreid_tui", *words, "--aspect", "dorsal-right"]
    traced = shutil.which("strace")
    trace = tmp_path / "trace"
    if traced:
        command = [traced, "-f", "-o", str(trace), "-e", "trace=%file", *command]
    environment = os.environ | {"HANDREID_CACHE": str(cache)}
    done = subprocess.run(command, cwd=desk / "desk", env=environment, capture_output=True, text=True)
    if traced and "ptrace" in done.stderr and done.returncode:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    assert [snapshot(each) for each in watched] == before
    for path in (desk / "desk" / "cases" / "0001-search").iterdir():
        assert not any(mark in path.read_bytes() for mark in SIGNATURES), path
    if traced:
        _opened_to_read_alone(trace.read_text(errors="replace"), [str(desk / "gallery"), str(desk / "photos")])


def _opened_to_read_alone(trace: str, folders: list[str]) -> None:
    """No call of the trace makes, changes or removes anything in the folders."""
    touched = [
        line
        for line in trace.splitlines()
        if any(folder in line or f"../{Path(folder).name}" in line for folder in folders)
        and re.search(r"O_WRONLY|O_RDWR|O_CREAT|\b(mkdir|rename|unlink|link|symlink|chmod|utime|truncate)\w*\(", line)
    ]
    assert touched == []
