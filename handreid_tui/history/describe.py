"""What a run directory says apart from its events: what a user entered, and the configuration."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from engine.contract import run_files
from engine.contract.config import RunConfig, flatten
from engine.contract.errors import UserError
from handreid_tui.history.apply import set_columns
from handreid_tui.history.models import Run
from handreid_tui.runs.meta import Meta
from handreid_tui.runs.safe_files import is_file, plain, read_json
from handreid_tui.runs.state import State


@dataclass(frozen=True)
class Description:
    """Columns of the run from meta.json and from config.json, its tags, its settings; and what could not be read."""

    meta: dict[str, Any]
    config: dict[str, Any]
    tags: tuple[str, ...]
    settings: dict[str, Any]
    problem: str


def describe(path: Path) -> Description:
    """Name, note, tags and configuration of a run directory; what cannot be read is left empty, with the problem."""
    meta, problem = Meta.read(path), ""
    columns: dict[str, Any] = {
        "path": str(path),
        "name": meta.name or path.name,
        "note": meta.note,
        "archived": meta.archived,
        "created": meta.created,
        "combo": path.name.partition("-")[2],
        "seed": 0,
    } | _of_sweep(path)
    data = dict.fromkeys(("dataset", "subset", "gallery", "model", "pretrained", "device"), "")
    epochs, settings = None, {}
    try:
        if not is_file(path / run_files.CONFIG):
            raise UserError(f"There is no configuration at {path / run_files.CONFIG}.")
        config = RunConfig.load(path / run_files.CONFIG)
    except UserError as error:
        problem = str(error)
    else:
        columns |= {"combo": config.combo, "seed": config.seed, "reranked": config.evaluation.rerank}
        data = {
            "dataset": plain(config.data.source, 500),
            "subset": plain(config.data.subset, 500),
            "gallery": config.data.gallery,
            "model": plain(config.model.name, 500),
            "pretrained": plain(config.model.pretrained, 500),
            "device": config.device,
        }
        epochs, settings = config.train.epochs, flatten(config)
    return Description(columns, data | {"epochs": epochs}, meta.tags, settings, problem)


def _of_sweep(path: Path) -> dict[str, Any]:
    """Which sweep the run is of, and what for; nothing where it is of none."""
    raw = read_json(path / run_files.SWEEP)
    numbers = (raw.get(key) for key in ("sweep", "trial"))
    sweep, trial = (value if type(value) is int and 0 <= value < 2**53 else None for value in numbers)
    return {"sweep": sweep, "role": plain(raw.get("role"), 20), "trial": trial}


def insert_run(connection: Connection, number: int, found: Description, state: State) -> None:
    """Add the row of a run, and its tags and configuration."""
    status: dict[str, Any] = {"status": state.status, "reason": state.reason, "stalled": state.stalled}
    row = Run(number=number, **status, **found.meta, **found.config).model_dump()
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    connection.exec_driver_sql(f"INSERT INTO run ({names}) VALUES ({marks})", tuple(row.values()))
    connection.exec_driver_sql("INSERT INTO position VALUES (?, 0, '', 0, 0, 0, NULL, NULL)", (number,))
    _insert_details(connection, number, found)


def describe_again(connection: Connection, number: int, found: Description) -> None:
    """Take over an edited meta.json or config.json; what `started` said of data and model stands above the latter."""
    started = connection.exec_driver_sql("SELECT started FROM run WHERE number = ?", (number,)).scalar_one()
    set_columns(connection, number, found.meta | found.config if started is None else found.meta)
    connection.exec_driver_sql("DELETE FROM tag WHERE run = ?", (number,))
    connection.exec_driver_sql("DELETE FROM configuration WHERE run = ?", (number,))
    _insert_details(connection, number, found)


def _insert_details(connection: Connection, number: int, found: Description) -> None:
    tags = [(number, tag) for tag in found.tags]
    settings = [(number, key, json.dumps(value)) for key, value in found.settings.items()]
    if tags:
        connection.exec_driver_sql("INSERT INTO tag (run, tag) VALUES (?, ?)", tags)
    if settings:
        connection.exec_driver_sql("INSERT INTO configuration (run, key, value) VALUES (?, ?, ?)", settings)
