"""Every file of a run directory is named once, and the table in the docs says what the declaration says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.contract import run_files

ROOT = Path(__file__).parents[2]
TABLES = {
    "run directory": run_files.RUN_DIRECTORY,
    "checkpoints": run_files.CHECKPOINT_FOLDERS,
    "a checkpoint": run_files.CHECKPOINT,
    "evaluation": run_files.EVALUATION_FOLDER,
    "runs": run_files.RUNS_FOLDER,
    "Slurm": run_files.SLURM_FOLDER,
}
NAMES = {value for key, value in vars(run_files).items() if key.isupper() and isinstance(value, str)}
SHORT = {run_files.RUNS_LOCK, run_files.UNFINISHED, run_files.REPLACED, run_files.SLURM_JOB, run_files.SLURM_OUTPUT}
FILES = {name for name in NAMES - SHORT if "." in name}  # a suffix may be that of other files too
FOLDERS = NAMES - FILES - SHORT
OTHERS = {"engine/contract/weights.py": {"config.json"}}  # of Hugging Face
SOURCES = [
    file
    for package in ("engine", "handreid_tui", "benchmarks")
    for file in sorted((ROOT / package).rglob("*.py"))
    if file != ROOT / "engine/contract/run_files.py"
]


def texts(tree: ast.AST) -> Iterator[str]:
    """The strings of a module that are not documentation; a value inside an f-string reads as `x`."""
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (docs | parts):
            yield node.value


def path_parts(tree: ast.AST) -> Iterator[str]:
    """The strings that are joined to a path with `/`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and isinstance(node.right, ast.Constant):
            yield str(node.right.value)


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_module_spells_a_run_file(file: Path) -> None:
    tree = ast.parse(file.read_text())
    names = re.compile("|".join(rf"(?<![\w.]){re.escape(name)}(?![\w.])" for name in FILES))
    known = OTHERS.get(str(file.relative_to(ROOT)), set())
    spelt = [text for text in texts(tree) if names.search(text) and text not in known]
    assert spelt == []
    assert [part for part in path_parts(tree) if FOLDERS & set(part.split("/"))] == []


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_the_documentation_lists_the_files_as_declared(table: dict[str, tuple[str, str]]) -> None:
    docs = (ROOT / "docs" / "architecture.md").read_text()
    expected = [f"| `{name}` | {by} | {holds} |" for name, (by, holds) in table.items()]
    assert "\n".join(expected) in docs, "docs/architecture.md needs:\n" + "\n".join(expected)


def test_every_name_is_described() -> None:
    made_up = {run_files.NEW_PREFIX, run_files.BEST_CHECKPOINT, run_files.LAST_CHECKPOINT}
    described = {name for table in TABLES.values() for name in table}
    assert NAMES - SHORT - made_up <= described
