"""The wall between the packages, and what the start may not wait for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TORCH_FREE = {"contract", "data", "search"}


def loaded_by(statement: str) -> set[str]:
    script = f"import sys\n{statement}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def imports_of(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_the_command_line_starts_without_torch_and_without_a_database() -> None:
    assert not loaded_by("import handreid_tui.cli.app") & {
        "torch",
        "open_clip",
        "sqlmodel",
        "sqlalchemy",
        "textual",
        "numpy",
    }


def test_the_terminal_ui_starts_without_torch_and_without_a_database() -> None:
    assert not loaded_by("import handreid_tui.ui.app") & {"torch", "open_clip", "sqlmodel", "sqlalchemy", "scipy"}


@pytest.mark.parametrize("file", sorted((ROOT / "handreid_tui").rglob("*.py")), ids=lambda file: file.stem)
def test_the_manager_never_imports_torch_nor_what_does(file: Path) -> None:
    for name in imports_of(file):
        package, _, rest = name.partition(".")
        assert package not in ("torch", "torchvision", "open_clip")
        assert package != "engine" or not rest or rest.split(".")[0] in TORCH_FREE, name


@pytest.mark.parametrize("file", sorted((ROOT / "engine").rglob("*.py")), ids=lambda file: file.stem)
def test_the_engine_never_knows_the_manager(file: Path) -> None:
    packages = {name.partition(".")[0] for name in imports_of(file)}
    assert not packages & {"handreid_tui", "textual", "sqlmodel", "sqlalchemy", "typer", "rich"}


def test_what_the_manager_reads_of_the_engine_is_free_of_torch() -> None:
    modules = (
        "engine.contract.config, engine.contract.events, engine.contract.models, engine.data.split, engine.data.check, "
        "engine.search.open_set"
    )
    assert "torch" not in loaded_by(f"import {modules}")


@pytest.mark.parametrize("file", sorted((ROOT / "handreid_tui" / "ui").rglob("*.py")), ids=lambda file: file.stem)
def test_no_part_of_the_terminal_ui_imports_the_app_that_wires_it(file: Path) -> None:
    assert not any(name.startswith("handreid_tui.ui.app") for name in imports_of(file))


@pytest.mark.parametrize("file", sorted(ROOT.glob("handreid_tui/ui/screens/*/screen.py")), ids=lambda f: f.parent.name)
def test_a_screen_is_a_page_and_no_tower(file: Path) -> None:
    pages = [
        node
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ClassDef) and "BINDINGS" in ast.dump(node)
    ]
    assert any([ast.unparse(base) for base in page.bases] == ["Page"] for page in pages)
    assert len(file.read_text().splitlines()) <= 400


@pytest.mark.parametrize("package", ["engine", "handreid_tui"])
def test_no_two_public_classes_of_a_package_share_a_name(package: str) -> None:
    places: dict[str, list[str]] = {}
    for file in sorted((ROOT / package).rglob("*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(str(file.relative_to(ROOT)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
