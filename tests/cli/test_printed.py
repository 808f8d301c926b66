"""What the commands print: whole names for pipes, one sentence for what does nothing, the words of the screens."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from handreid_tui.runs.meta import edit_meta
from tests.cli.test_run import _command, handreid
from tests.support.planted_runs import clusters, identities, plant
from tests.support.run_files import finish, make_run


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


@pytest.fixture
def one_run(tmp_path: Path) -> Path:
    """A folder with one finished run in it."""
    finish(make_run(tmp_path / "runs", tags=["old"]))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tag", "1", ""], "A tag is one word"),
        (["tag", "1", "two words"], "A tag is one word"),
        (["tag", "1", "two,words"], "A tag is one word"),
        (["tag", "1", "nosuch", "--remove"], "Run 1 has no tag 'nosuch', but old."),
        (["run", "--combo", "ce", "--tag", "two words"], "A tag is one word"),
        (["queue", "--up"], "Name the queued run"),
        (["queue", "--priority", "3"], "Name the queued run"),
    ],
)
def test_what_would_do_nothing_is_said(words: list[str], said: str, one_run: Path) -> None:
    done = handreid(*words, cwd=one_run, check=False)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert said in done.stderr
    assert [path.name for path in (one_run / "runs").glob("0*")] == ["0001-ce_triplet"]
    assert '"tags": [\n      "old"\n    ]' in handreid("runs", "--json", cwd=one_run).stdout


def test_show_says_number_name_and_folder_in_the_words_of_the_screens(one_run: Path) -> None:
    edit_meta(one_run / "runs" / "0001-ce_triplet", lambda meta: replace(meta, name="2 [b]"))
    shown = handreid("show", "1", cwd=one_run).stdout.splitlines()
    assert shown[0] == 'Run 1 "2 [b]"  0001-ce_triplet  finished'
    names = [text.split("  ")[0] for text in shown]
    assert {"rank-1", "rank-10", "mAP, trapezoid", "EER", "TAR @ FAR 0.1%"} <= set(names)
    assert not {"rank1", "tar_at_far_1e3"} & set(names)


def test_data_check_keeps_its_first_line_whole(hands: Path, tmp_path: Path) -> None:
    first = handreid("data", "check", hands, cwd=tmp_path).stdout.splitlines()[0]
    assert first.endswith(f" in {hands}")


def test_a_report_that_takes_the_place_of_another_says_so(tmp_path: Path) -> None:
    identity = identities(10)
    plant(tmp_path / "runs", 1, "ce", clusters(identity, 0.5), identity)
    assert handreid("report", cwd=tmp_path).stderr == "report.html: open it in a browser.\n"
    assert handreid("report", cwd=tmp_path).stderr == "Replaced report.html: open it in a browser.\n"
