"""The event log: each kind and field is declared once, read typed, and documented."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.contract import events
from engine.contract.events import EventWriter, RunStarted, UnknownEvent, parse, read_events
from tests.support.events import raw_events

ROOT = Path(__file__).parents[2]
LINES = {
    "started": {"pid": 7, "dataset": "hands", "device_name": "CPU", "image_size": 64, "resumed_from": 3},
    "step": {"step": 0, "epoch": 1, "total": 1.5, "terms": {"ce": 1.5}, "lr": 1e-3, "images_per_s": 12.0},
    "prompt": {"step": 0, "epoch": 1, "total": 2.5, "terms": {"i2t": 1.5, "t2i": 1.0}, "lr": 1e-5, "seconds": 0.5},
    "epoch": {"step": 9, "epoch": 1, "seconds": 2.5, "geometry": {"intra": 0.5}, "total": 1.5, "ce": 1.25},
    "evaluation": {"step": 9, "stage": "final", "trials": 10, "queries_without_match": 0.5, "rank1": 0.75, "new": 1.0},
    "system": {"step": 9, "cpu": 0.5, "gpu_memory": 1e9},
    "checkpoint": {"step": 9, "epoch": 1, "path": "checkpoints/best", "best": True},
    "message": {"level": "info", "text": "Decoding"},
    "ended": {"status": "failed", "reason": {"kind": "nan", "message": "No.", "setting": "train.lr"}},
}


@pytest.mark.parametrize("kind", events.KINDS)
def test_an_event_is_written_as_it_was_read(kind: str, tmp_path: Path) -> None:
    fields: Any = LINES[kind]
    read = parse(json.dumps({"v": 1, "t": 5.0, "kind": kind, "unknown": ["of a newer version"]} | fields))
    assert type(read) is events.KINDS[kind] and read.t == 5.0
    writer = EventWriter(tmp_path / "events.jsonl")
    writer.write(read)
    (line,) = raw_events(tmp_path / "events.jsonl")
    assert {key: line[key] for key in fields} | line == line | {"v": 1, "t": 5.0, "kind": kind}
    written = {key: value for key, value in fields.items() if key != "reason"}
    assert {key: line[key] for key in written} == written
    assert read_events(tmp_path / "events.jsonl").events == [read]


def test_what_is_no_number_is_null_in_the_file_and_nan_in_the_program(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "events.jsonl")
    writer.write(events.TrainingStep(1, total=math.inf, terms={"ce": math.nan}))
    (line,) = raw_events(tmp_path / "events.jsonl")
    assert (line["total"], line["terms"]) == (None, {"ce": None})
    (read,) = read_events(tmp_path / "events.jsonl").events
    assert isinstance(read, events.TrainingStep) and read.terms
    assert math.isnan(read.total or 0) and math.isnan(read.terms["ce"]) and read.lr is None


@pytest.mark.parametrize(
    "line",
    [
        {"kind": "dance"},
        {"kind": "step", "total": 1},
        {"kind": "step", "step": -1},
        {"kind": "evaluation", "step": "x"},
    ],
)
def test_an_unknown_event_keeps_its_time_alone(line: dict[str, object]) -> None:
    assert parse(json.dumps(line | {"t": 3})) == UnknownEvent(str(line["kind"]), 3.0)


@pytest.mark.parametrize("value", [None, True, -1, 2**60, "7", [7], {"a": 7}, 1e3])
def test_a_value_of_another_type_is_as_good_as_none(value: object) -> None:
    read = parse(json.dumps({"kind": "started", "pid": value, "host": "node1"}))
    assert read == RunStarted(host="node1")


@pytest.mark.parametrize("kind", events.KINDS)
def test_the_documentation_lists_the_fields_as_declared(kind: str) -> None:
    row = f"| `{kind}` | {', '.join(events.documented(kind))} |"
    assert row in (ROOT / "docs" / "architecture.md").read_text(), f"docs/architecture.md needs:\n{row}"


def test_a_field_is_added_in_one_place(tmp_path: Path) -> None:
    declared = (ROOT / "engine" / "contract" / "events.py").read_text()
    place = "    pid: Annotated[int | None, whole] = None\n"
    assert declared.count(place) == 1
    fresh = place + '    fresh: Annotated[str | None, as_text, "a test"] = None\n'
    (tmp_path / "events.py").write_text(declared.replace(place, fresh))
    script = """
from pathlib import Path
from events import EventWriter, RunStarted, documented, read_events
EventWriter(Path("log")).write(RunStarted(fresh="yes"))
print(read_events(Path("log")).events[0].fresh, documented("started")[1])
"""
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-P", "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "yes `fresh` (a test)\n"
    assert raw_events(tmp_path / "log")[0]["fresh"] == "yes"
