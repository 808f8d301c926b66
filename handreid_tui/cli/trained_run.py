"""`handreid evaluate` and `export`: a trained run on other data, and out of the program. Torch stays outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.table import Table

from engine.contract import run_files
from engine.contract.config import resolve
from engine.contract.errors import UserError
from engine.contract.metrics import metrics_of
from engine.data.split import open_split
from handreid_tui.runs.select import find_run
from handreid_tui.settings import Places
from handreid_tui.text.numbers import metric_text
from handreid_tui.text.tables import stdout


def evaluate(places: Places, text: str, data: dict[str, Any], as_json: bool) -> None:
    """Score a run on another data set and print the result. Raises UserError where either does not serve."""
    run = find_run(places.runs, text)
    if data["source"] != "synthetic":
        data["source"] = str(Path(data["source"]).expanduser().absolute())
    config = resolve("zero_shot", **{f"data.{key}": value for key, value in data.items()}).data
    open_split(config)
    place = run / run_files.EVALUATIONS
    can_be_saved = _is_writable(_nearest(place))
    if not can_be_saved:
        print(f"Note: {place} cannot be written: the result is printed, not saved.", file=sys.stderr, flush=True)
    scored = json.loads(_engine("evaluate", str(run), config.to_json()).splitlines()[-1])
    summary, folder = scored["summary"], scored["folder"]
    kept = f"Saved in {folder}." if folder else f"Note: the result was not saved in {run}: {scored['problem'].lower()}."
    _print(run.name, summary, folder, as_json)
    if folder or can_be_saved:  # else it was said before the work
        print(kept, file=sys.stderr)


def _print(run: str, summary: dict[str, Any], folder: str | None, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"run": run, **summary, "folder": folder}), flush=True)
        return
    title = f"{run} on {summary['dataset']}, {summary['subset']}, {summary['gallery']} gallery (%)"
    table = Table(box=None, padding=(0, 2, 0, 0))
    for header in ("", "raw pixels", run):
        table.add_column(header, justify="right" if header else "left")
    for metric in metrics_of("report"):
        values = (metric_text(metric, scores.get(metric.key)) for scores in (summary["pixels"], summary))
        table.add_row(metric.title, *values)
    out = stdout()
    out.print(title, style="italic")
    out.print(table)


def export(places: Places, text: str, output: Path | None) -> None:
    """Write a run's encoder as a folder that open_clip loads by itself."""
    run = find_run(places.runs, text)
    folder = output or Path(f"{run.name}-encoder")
    _check_output(folder)
    _engine("export", str(run), str(folder))
    print(f"{folder}: open_clip.create_model_and_transforms('local-dir:{folder}') loads it.", file=sys.stderr)


def _check_output(folder: Path) -> None:
    """Raises UserError where the folder is not a new or an empty one, or cannot be made or written."""
    there = _nearest(folder)
    if not there.is_dir():
        raise UserError(f"{there} is a file: name a folder with -o.")
    if not _is_writable(there):
        raise UserError(f"{folder} cannot be written: name another folder with -o.")
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty: name another folder with -o.")


def _nearest(path: Path) -> Path:
    """The path itself, or else the innermost folder above it that exists."""
    return next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())


def _is_writable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _engine(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "engine", *words], capture_output=True, text=True)
    if done.returncode:
        message = (done.stderr.strip().splitlines() or [f"the engine exited with status {done.returncode}"])[-1]
        raise UserError(message.removeprefix("Error: "))
    for line in done.stderr.splitlines():
        if line.startswith("Note: "):
            print(line, file=sys.stderr)
    return done.stdout
