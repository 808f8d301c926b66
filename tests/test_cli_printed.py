"""What the commands print: whole names for pipes, one sentence for what does nothing, the words of the screens."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

from tests.run_files import finish, make_run
from tests.test_cli_run import _command, handreid


def on_terminal(*words: object, cwd: Path, columns: int) -> list[str]:
    """The lines that a command prints on a terminal of so many columns, without their styles."""
    terminal, screen = pty.openpty()
    environment = os.environ | {"COLUMNS": str(columns), "TERM": "xterm"}
    done = subprocess.Popen(_command(*words), cwd=cwd, env=environment, stdout=screen, stdin=screen)
    os.close(screen)
    text = b""
    while True:
        try:
            text += os.read(terminal, 1 << 16)
        except OSError:  # the other end was closed
            break
    os.close(terminal)
    assert done.wait() == 0
    return re.sub(r"\x1b\[[0-9;]*m|\r", "", text.decode()).splitlines()


def test_names_are_whole_in_a_pipe_and_the_combination_is_in_a_terminal(tmp_path: Path) -> None:
    finish(make_run(tmp_path / "runs", "ce_triplet_center", tags=["a-long-tag-for-a-run", "and-another"]))
    words = ["ce_triplet_center", "synthetic", "dorsal-right", "a-long-tag-for-a-run and-another"]
    assert all(word in handreid("runs", cwd=tmp_path).stdout for word in words)
    for columns in (100, 80, 60):
        lines = on_terminal("runs", cwd=tmp_path, columns=columns)
        assert max(map(len, lines)) <= columns
        assert "ce_triplet_center" in lines[1]
