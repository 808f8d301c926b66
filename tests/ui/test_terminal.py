"""The real thing in a real terminal: tmux, the program, the trainer."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.long, pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not here")]


class Terminal:
    """A tmux session of its own server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = f"handreid-{secrets.token_hex(4)}"

    def tmux(self, *words: str) -> str:
        command = ["tmux", "-L", self.server, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=self.folder).stdout

    def start(self, command: str) -> None:
        self.tmux("new-session", "-d", "-s", "t", "-x", "140", "-y", "44", command)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.tmux("send-keys", "-t", "t", key)
            time.sleep(0.4)

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p", "-t", "t")

    def shows(self, *texts: str, seconds: float = 60.0) -> str:
        end = time.monotonic() + seconds
        while True:
            screen = self.screen()
            if all(text in screen for text in texts):
                return screen
            assert time.monotonic() < end, f"{texts} did not come; on the screen:\n{screen}"
            time.sleep(0.2)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    yield terminal
    subprocess.run(["tmux", "-L", terminal.server, "kill-server"], capture_output=True, check=False)


def test_launch_the_demo_quit_while_the_second_run_trains_and_come_back(terminal: Terminal) -> None:
    program = f"env -u COLUMNS -u LINES XDG_CONFIG_HOME={terminal.folder}/config OMP_NUM_THREADS=1 TERM=xterm-256color "
    program += f"HANDREID_LOCKS={terminal.folder}/locks {sys.executable} -m handreid_tui"
    terminal.start(program)
    terminal.shows("Combinations", "idle")
    terminal.press("j", "Space", "j", "Space", "f", "Tab", "Tab", "Tab", "Tab", "Tab", "2")
    terminal.shows("Launch 2 runs", "synthetic hands", seconds=120)
    terminal.press("C-r")
    terminal.shows("Validation", "1 running 1 queued", seconds=60)
    terminal.shows("2 ce_triplet", "rank-1", "▶ 2", seconds=300)
    terminal.press("k", "k", "q")
    end = time.monotonic() + 10
    while (
        subprocess.run(["tmux", "-L", terminal.server, "has-session"], capture_output=True, check=False).returncode == 0
    ):
        assert time.monotonic() < end, "q did not quit"
        time.sleep(0.1)
    assert not (terminal.folder / "runs" / "0002-ce_triplet" / "exit.json").exists()
    terminal.start(program)
    screen = terminal.shows("2 Live", "1 running", "✓ 1 ce", seconds=30)
    assert "✓ 2" not in screen
    terminal.shows("✓ 1 ce", "✓ 2 ce_triplet", "idle", seconds=300)
