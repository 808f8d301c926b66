"""Machines as people have them: no home directory, full disks, run directories that were renamed, Ctrl-Z."""

from __future__ import annotations

import os
import pty
import pwd
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from engine.data.cache_dir import cache_folder, folder_without_home
from handreid_tui.runs.directory import left_out
from handreid_tui.text.manager_log import log_file
from handreid_tui.ui.preferences import default_file
from tests.support.run_files import finish, make_run

HANDREID = [sys.executable, "-m", "handreid_tui"]


def nobody(number: int) -> pwd.struct_passwd:
    raise KeyError(number)


def test_without_home_and_without_a_name_there_is_a_folder_for_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "HANDREID_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert cache_folder().is_relative_to(folder_without_home())
    assert default_file().is_relative_to(folder_without_home())
    assert log_file().is_relative_to(folder_without_home())
    monkeypatch.setenv("HANDREID_CACHE", "/elsewhere")
    assert cache_folder() == Path("/elsewhere")


@pytest.mark.parametrize(
    "words", [("data", "check", "~nobody-of-that-name/x"), ("run", "--combo", "ce", "--data", "~who/x")]
)
def test_a_home_that_is_not_known_is_one_sentence(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = subprocess.run([*HANDREID, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize(
    "words",
    [("runs",), ("note", "1", "x"), ("report",), ("export", "1"), ("rebuild",), ("run", "--combo", "zero_shot")],
)
def test_where_no_file_can_grow_a_command_ends_with_a_sentence(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "runs").mkdir()
    finish(make_run(tmp_path / "runs", "ce"))
    shell = ["bash", "-c", 'ulimit -f 0; exec "$@"', "bash", *HANDREID, *words]
    done = subprocess.run(shell, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: ")


def test_on_a_full_disk_runs_can_be_deleted_and_the_history_says_why_it_cannot_be_read(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        runs = [finish(make_run(disk / "runs", "ce")) for _ in range(2)]
        (runs[0] / "checkpoints").mkdir()
        (runs[0] / "checkpoints" / "epoch.pt").write_bytes(bytes(200_000))
        call = partial(subprocess.run, cwd=disk, capture_output=True, text=True, timeout=100)
        assert call([*HANDREID, "runs"]).returncode == 0
        with suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        shown = call([*HANDREID, "show", "1"])
        assert shown.returncode == 2 and "the disk is full" in shown.stderr
        gone = call([*HANDREID, "rm", "1", "--purge", "--yes"])
        assert gone.returncode == 0 and "Deleted 0001-ce" in gone.stderr, gone.stderr
        assert not runs[0].exists() and runs[1].exists()
        assert call([*HANDREID, "show", "2"]).returncode == 0  # there is room again
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda run: run.rename(run.with_name("my best run")), "is not like 0012-ce"),
        (lambda run: run.rename(run.with_name(f"old-{run.name}")), "is not like 0012-ce"),
        (lambda run: run.rename(run.with_name(f"{run.name} (copy)")), "is not like 0012-ce"),
        (lambda run: run.with_name("0009-link").symlink_to(run), "is a link"),
        (lambda run: run.with_name("0009-broken").symlink_to(run / "nowhere"), "is a link"),
        (lambda run: run.with_name("a link").symlink_to(run), "is a link"),
    ],
)
def test_a_run_that_is_not_listed_is_named(tmp_path: Path, change: Callable[[Path], object], said: str) -> None:
    run = make_run(tmp_path / "runs", "ce")
    assert left_out(tmp_path / "runs") == []
    change(run)
    (tmp_path / "runs" / "notes").mkdir()  # no run
    (sentence,) = left_out(tmp_path / "runs")
    assert said in sentence


def test_ctrl_z_suspends_the_ui_and_the_shell_continues_it(tmp_path: Path) -> None:
    pid, terminal = pty.fork()
    if not pid:  # the UI, with a terminal of its own
        os.chdir(tmp_path)
        os.environ |= {"TERM": "xterm-256color", "XDG_CONFIG_HOME": str(tmp_path)}
        os.execv(sys.executable, HANDREID)
    termios.tcsetwinsize(terminal, (40, 120))
    try:
        output = read_until(terminal, b"Launch")
        assert b"\x1b[?1049h" in output
        os.write(terminal, b"\x1a")
        assert os.WIFSTOPPED(status_of(pid, terminal))
        os.kill(pid, signal.SIGCONT)
        read_until(terminal, b"\x1b[?1049h")
        os.write(terminal, b"q")
        assert os.waitstatus_to_exitcode(status_of(pid, terminal)) == 0
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.close(terminal)


def status_of(pid: int, terminal: int, seconds: float = 60.0) -> int:
    """The status of the process when it stops or ends; what it writes meanwhile is read, or it would wait for that."""
    os.set_blocking(terminal, False)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError):
            os.read(terminal, 65536)
        changed, status = os.waitpid(pid, os.WUNTRACED | os.WNOHANG)
        if changed:
            return status
        time.sleep(0.02)
    raise AssertionError("it neither stopped nor ended")


def read_until(terminal: int, wanted: bytes, seconds: float = 60.0) -> bytes:
    output, end = b"", time.monotonic() + seconds
    os.set_blocking(terminal, False)
    while wanted not in output:
        assert time.monotonic() < end, output[-2000:]
        try:
            output += os.read(terminal, 65536)
        except BlockingIOError:
            time.sleep(0.05)
        except OSError:  # its end
            break
    return output
