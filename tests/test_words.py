"""Public text: README, docs and help, checked for phrases that CONTRIBUTING.md ("Style of text") rules out."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from handreid_tui.cli.app import GROUPS, function_of

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = [function_of(place) for group in GROUPS.values() for place in group.values()]
RULED_OUT = re.compile(
    r"drawn hands?|stands? twice|without a word|no word|goes? on|(?:is|are|be) told|runs that wait\b"
    r"|in the corner|the mission|as elsewhere|no sound weights|nothing waits|mend(?:ed|s)?\b"
    r"|takes? part\b|nobody|somebody|for good\b|sign of life|the first is\b|blanks\b",
    re.IGNORECASE,
)


def ruled_out_in(text: str) -> list[str]:
    """The phrases, with the words around them; they may be broken over two lines."""
    flat = " ".join(text.split())
    return [flat[max(0, found.start() - 30) : found.end() + 30] for found in RULED_OUT.finditer(flat)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_are_in_plain_technical_english(page: Path) -> None:
    assert ruled_out_in(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_helps_are_in_plain_technical_english(command: Callable[..., None]) -> None:
    hints = inspect.get_annotations(command, eval_str=True).values()
    helps = [about.help or "" for hint in hints for about in getattr(hint, "__metadata__", ())]
    assert ruled_out_in("\n".join([command.__doc__ or "", *helps])) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    code = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL) + re.findall(r"`(handreid [^`\n]+)`", text)
    named = {name for part in code for name in re.findall(r"(?:^|[\s/])handreid ([a-z]+)", part)}
    assert named <= {name.split()[0] for group in GROUPS.values() for name in group}


@pytest.mark.parametrize("package", ["engine", "handreid_tui"])
def test_errors_are_in_plain_technical_english(package: str) -> None:
    found = []
    for file in sorted((ROOT / package).rglob("*.py")):
        calls = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        errors = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "UserError"]
        texts = [
            node.value
            for call in errors
            for node in ast.walk(call)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        found += [f"{file.relative_to(ROOT)}: {phrase}" for text in texts for phrase in ruled_out_in(text)]
    assert found == []


def test_the_check_finds_a_phrase_over_two_lines() -> None:
    assert ruled_out_in("It trains on drawn\n  hands and goes\non.") != []
