"""Bugs leave a traceback in the manager's log, and one sentence for the user."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from textual.app import App

from handreid_tui.text.manager_log import KEPT, LARGEST, log_bug, log_file
from handreid_tui.ui.background import Latest
from tests.support.tui_tools import until


def test_a_bug_of_a_command_is_one_sentence_that_names_the_log(tmp_path: Path) -> None:
    script = "import sys, handreid_tui.__main__ as m\ndef broken(): raise KeyError('lost')\nm._command_line = broken\n"
    command = [sys.executable, "-c", script + "sys.argv = ['handreid', 'runs']\nm.main()"]
    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    log = tmp_path / "handreid" / "handreid.log"
    sentence = f"Error: This is a bug in handreid (KeyError: 'lost'). The traceback is in {log}.\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", sentence)
    text = log.read_text()
    assert "handreid runs" in text and "Traceback" in text and "in broken" in text


async def test_a_bug_in_a_thread_of_the_ui_is_logged(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    told: list[str] = []

    def broken(request: int) -> int:
        return request // 0

    app: App[None] = App()
    async with app.run_test() as pilot:
        Latest(app, broken, told.append, told.append).ask(7)
        await until(pilot, lambda: told)
    assert told == ["It cannot be read: integer division or modulo by zero."]
    assert "return request // 0" in log_file().read_text()


def test_the_log_is_rotated_and_may_be_unwritable(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for _ in range(KEPT + 3):
        try:
            raise ValueError("x" * (LARGEST // 2 + 1))
        except ValueError:
            log_bug("too much")
    found = sorted(path.name for path in log_file().parent.iterdir())
    assert found == ["handreid.log", *(f"handreid.log.{n}" for n in range(1, KEPT + 1))]
    monkeypatch.setenv("XDG_STATE_HOME", str(log_file()))  # a file where a folder should be
    try:
        raise ValueError("lost")
    except ValueError:
        log_bug("nowhere")


def test_doctor_names_the_log(tmp_path: Path, monkeypatch) -> None:
    from handreid_tui.cli.doctor import _log

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert _log().text.startswith(str(tmp_path / "handreid" / "handreid.log"))
