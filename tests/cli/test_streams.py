"""The program where its input and output are not a UTF-8 terminal: pipes, full and closed streams, other encodings."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.run_files import finish, make_run

HANDREID = [sys.executable, "-m", "handreid_tui"]


def handreid(folder: Path, *words: str, shell: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The program in `folder`; `shell` is what a shell puts behind the command, such as `>/dev/full`."""
    own: dict[str, Any] = {"cwd": folder, "env": os.environ | environment, "capture_output": True, "timeout": 60}
    own["stdin"] = subprocess.DEVNULL
    if shell:
        return subprocess.run(["bash", "-c", f'"$@" {shell}', "bash", *HANDREID, *words], **own)
    return subprocess.run([*HANDREID, *words], **own)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "runs").mkdir()
    for seed in range(3):
        finish(make_run(folder / "runs", "ce", seed, tags=["größer"], note="[left] → ✓"))
    return folder


@pytest.mark.parametrize(
    ("words", "shell"), [((), "</dev/null"), (("--runs", "runs"), "| cat"), ((), "2>/dev/null"), ((), ">&- <&-")]
)
def test_without_a_terminal_the_ui_ends_at_once_with_a_sentence(
    project: Path, words: tuple[str, ...], shell: str
) -> None:
    done = handreid(project, *words, shell=shell)
    assert b"\x1b[?1049h" not in done.stdout + done.stderr
    assert shell == "| cat" or done.returncode == 2
    assert shell == "2>/dev/null" or b"needs a terminal" in done.stderr


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_cannot_show_the_ui_is_refused(project: Path, term: str) -> None:
    leader, follower = pty.openpty()
    done = subprocess.run(
        HANDREID,
        cwd=project,
        env=os.environ | {"TERM": term},
        stdin=follower,
        stdout=follower,
        stderr=follower,
        timeout=60,
    )
    os.close(follower)
    assert done.returncode == 2 and b"TERM" in os.read(leader, 1000)
    os.close(leader)


@pytest.mark.parametrize("words", [("show", "1"), ("runs", "--json"), ("--help",)])
def test_an_output_that_is_full_is_one_sentence(project: Path, words: tuple[str, ...]) -> None:
    done = handreid(project, *words, shell=">/dev/full")
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1 and b"no space left" in done.stderr, done.stderr


@pytest.mark.parametrize("words", [("runs", "--json"), ("--help",)])
def test_a_reader_that_stops_reading_is_no_error(project: Path, words: tuple[str, ...]) -> None:
    done = handreid(project, *words, shell="| true")
    assert done.stderr == b""


@pytest.mark.parametrize("shell", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_error(project: Path, shell: str) -> None:
    done = handreid(project, "runs", shell=shell)
    assert done.returncode == 0 and b"Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "iso8859-15"])
@pytest.mark.parametrize(
    "words", [("runs",), ("show", "1"), ("combos",), ("compare", "--format", "markdown"), ("--help",)]
)
def test_another_encoding_degrades_and_never_fails(project: Path, words: tuple[str, ...], encoding: str) -> None:
    done = handreid(project, *words, PYTHONIOENCODING=encoding)
    assert b"Traceback" not in done.stderr and b"codec" not in done.stderr
    done.stdout.decode(encoding)


def test_the_locale_may_be_c(project: Path) -> None:
    done = handreid(project, "show", "1", LANG="C", LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    assert done.returncode == 0 and b"[left] -> ok" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b"\xef\xbb\xbf# first\r\n", b""])
def test_a_settings_file_of_notepad_is_read(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "handreid.toml").write_bytes(start + b"[combos.mine]\r\nce = 1\r\ntriplet = 0.5\r\n")
    done = handreid(tmp_path, "combos")
    assert done.returncode == 0 and b"mine" in done.stdout


@pytest.mark.parametrize("content", ["[run]\n".encode("utf-16"), b"[run]\n# gr\xf6\xdfer\n", b"\x00\x01\x02"])
def test_a_settings_file_in_another_encoding_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "handreid.toml").write_bytes(content)
    done = handreid(tmp_path, "combos")
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1 and b"Traceback" not in done.stderr
    assert content.startswith(b"\x00") or b"UTF-8" in done.stderr
