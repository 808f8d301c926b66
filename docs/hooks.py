"""What MkDocs adds to the pages in this folder: the pages of the repository's root, and a reference of the commands."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.models import ArgumentInfo, OptionInfo

from handreid_tui.cli.app import GROUPS, function_of

ROOT = Path(__file__).parents[1]
FROM_ROOT = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
SOURCE_LINK = re.compile(r"\[([^\]]+)\]\(\.\./[^)]*\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not files of docs/."""
    for name, page in FROM_ROOT.items():
        files.append(File.generated(config, page, content=_moved(ROOT / name)))
    files.append(File.generated(config, "commands.md", content="\n".join(_reference())))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to source files lead out of the site: show their text alone."""
    return SOURCE_LINK.sub(r"\1", markdown)


def _moved(file: Path) -> str:
    """A page of the root with links as they are from docs/."""
    text = file.read_text(encoding="utf-8").replace("](docs/", "](")
    for name, page in FROM_ROOT.items():
        text = text.replace(f"]({name})", f"]({page})")
    return text


@dataclass(frozen=True)
class Parameter:
    """An argument or option of a command, as its function declares it."""

    key: str
    kind: Any
    about: ArgumentInfo | OptionInfo
    default: Any

    @property
    def metavar(self) -> str:
        return self.about.metavar or self.key.rstrip("_").upper()

    @property
    def title(self) -> str:
        if isinstance(self.about, ArgumentInfo):
            return self.metavar
        declared = (self.about.default, *(self.about.param_decls or ()))
        names = [name for name in declared if isinstance(name, str) and name.startswith("-")]
        value = "" if self.kind is bool else " " + self.metavar.strip("<>[]").replace("|", "/")
        return ", ".join(names or ["--" + self.key.rstrip("_").replace("_", "-")]) + value

    @property
    def help(self) -> str:
        choices = ", ".join(f"`{choice}`" for choice in _choices(self.kind))
        return (self.about.help or "") + (f" One of {choices}." if choices else "")

    @property
    def shown_default(self) -> str:
        if isinstance(self.about.show_default, str):
            return self.about.show_default
        if self.default is inspect.Parameter.empty:
            return "required"
        return "" if self.default in (None, False, "") else f"`{self.default}`"


def _reference() -> Iterator[str]:
    yield "# Commands\n\nEvery command also prints this with `--help`. `handreid` alone opens the terminal UI.\n"
    for group, commands in GROUPS.items():
        yield f"## {group}\n"
        for name, place in commands.items():
            yield from _command(name, function_of(place))


def _command(name: str, command: Any) -> Iterator[str]:
    hints = get_type_hints(command, include_extras=True)
    parameters = [
        Parameter(key, *get_args(hints[key]), parameter.default)
        for key, parameter in inspect.signature(command).parameters.items()
    ]
    arguments = [each for each in parameters if isinstance(each.about, ArgumentInfo)]
    options = [each for each in parameters if isinstance(each.about, OptionInfo)]
    usage = " ".join(["handreid", name, *(each.metavar for each in arguments), "[OPTIONS]"])
    yield f"### {name}\n\n```\n{usage}\n```\n\n{inspect.getdoc(command)}\n"
    for title, group in (("argument", arguments), ("option", options)):
        if group:
            yield f"| {title} | | default |\n|---|---|---|"
            yield from (_row(f"`{each.title}`", each.help, each.shown_default) for each in group)
            yield ""


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _choices(kind: Any) -> Iterator[str]:
    for inner in get_args(kind):
        yield from [inner] if isinstance(inner, str) else _choices(inner)
