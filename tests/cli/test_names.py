"""Names as people give them: brackets, colons, bytes that are no UTF-8; shown whole, by every command and screen."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from textual.app import App

from engine.contract.config import DataConfig
from engine.contract.errors import UserError
from engine.data import synthetic
from handreid_tui.runs.safe_files import plain
from handreid_tui.text.streams import readable
from handreid_tui.text.tables import stderr, stdout
from handreid_tui.ui.dialogs import Prompt
from tests.support.tui_tools import text_of

ROOT = Path(__file__).parents[2]
NAME = os.fsdecode(b"hands [left] [red] :hand: d\xe9")
SHOWN = rb"hands [left] [red] :hand: d\xe9"


def handreid(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    words = (sys.executable, "-m", "handreid_tui", *words)
    return subprocess.run(words, cwd=folder, capture_output=True, timeout=120, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a folder with that name, with identities that have such names too."""
    folder = tmp_path_factory.mktemp("names")
    synthetic.write(folder / "drawn", train_identities=3, test_identities=2, images=3, seed=0, size=32)
    for number, image in enumerate(sorted((folder / "drawn" / "Hands").iterdir())):
        identity = folder / NAME / os.fsdecode(b"M\xfcller [%d]" % (number % 5))
        identity.mkdir(parents=True, exist_ok=True)
        image.rename(identity / f"{number}.jpg")
    done = handreid(folder, "run", "--combo", "zero_shot", "--model", "handreid-tiny", "--data", NAME)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return folder


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("runs",), SHOWN),
        (("show", "1"), SHOWN),
        (("data", "check", NAME), SHOWN),
        (("evaluate", "1", "--data", NAME), SHOWN),
        (("compare", "--format", "csv"), b"zero_shot"),
        (("note", "1", os.fsdecode(b"caf\xe9 [b]")), b""),
        (("run", "--combo", "zero_shot", "--data", f"no {NAME}"), SHOWN),
        (("export", "1", "-o", f"out {NAME}"), SHOWN),
    ],
)
def test_a_name_is_shown_whole(project: Path, words: tuple[str, ...], shown: bytes) -> None:
    done = handreid(project, *words)
    assert b"Traceback" not in done.stderr and b"UnicodeEncodeError" not in done.stderr, done.stderr.decode()
    assert shown in done.stdout + done.stderr


def test_a_report_shows_names_that_are_no_utf8(project: Path) -> None:
    assert handreid(project, "report", "-o", "report.html").returncode == 0
    page = (project / "report.html").read_text(encoding="utf-8")
    assert r"d\xe9" in page and r"M\xfcller [" in page


def test_the_configuration_keeps_every_byte_of_a_path(project: Path) -> None:
    config = json.loads((project / "runs" / "0001-zero_shot" / "config.json").read_text())
    data = DataConfig.from_json(DataConfig.model_validate(config["data"]).to_json())
    assert os.fsencode(data.source).endswith(os.fsencode(NAME))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"M\xfcller", r"M\xfcller"),
        ("Müller".encode(), "Müller"),
        (b"\xff\xfe", r"\xff\xfe"),
        (b"plain [x]", "plain [x]"),
    ],
)
def test_bytes_of_a_name_stay_readable(name: bytes, shown: str) -> None:
    assert readable(os.fsdecode(name)) == shown == plain(os.fsdecode(name), 100)
    assert readable("a\ud800b") == "a?b"


def test_every_console_comes_from_one_place() -> None:
    """And prints text as it is."""
    makers = [f.name for f in (ROOT / "handreid_tui").rglob("*.py") if re.search(r"\bConsole\(", f.read_text())]
    assert makers == ["tables.py"]
    for made in (stdout(), stderr()):
        with made.capture() as printed:
            made.print("[left] [red]x[/] :hand:")
        assert printed.get() == "[left] [red]x[/] :hand:\n"


async def test_dialogs_show_brackets() -> None:
    class Asking(App[None]):
        def on_mount(self) -> None:
            self.push_screen(Prompt("Tags of [left] hands [red]", check=check_tags_of))

    async with Asking().run_test(size=(90, 24)) as pilot:
        await pilot.press("x")
        await pilot.pause()
        shown = text_of(pilot.app)
        assert "Tags of [left] hands [red]" in shown and "x is [no] tag" in shown


def check_tags_of(text: str) -> None:
    if text:
        raise UserError(f"{text} is [no] tag")
