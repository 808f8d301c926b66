"""What the history answers: runs, summaries, configurations, messages."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine

from engine.contract import run_files
from engine.contract.errors import UserError
from handreid_tui.history.schema import reading


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as lists show it. Times are Unix seconds, accuracies fractions; what is not known (yet) is None or "".

    `sweep`, `role` and `trial` say what a run of a sweep was for.

    `total` is the last loss, `val_*` and `geometry_*` the last validation, `test_geometry_*` and the unmarked metrics
    the final report, `before_*` the same before training, `pixels_*` that of the raw pixels.
    """

    number: int
    path: Path
    archived: bool
    stalled: bool
    name: str
    note: str
    created: float
    combo: str
    seed: int
    dataset: str
    subset: str
    gallery: str
    fingerprint: str
    model: str
    pretrained: str
    device: str
    host: str
    epochs: int | None
    steps: int | None
    status: str
    reason: str
    started: float | None
    ended: float | None
    last_event: float | None
    seconds: float | None
    epoch: int | None
    step: int | None
    best_epoch: int | None
    damaged: int
    sweep: int | None
    role: str
    trial: int | None
    total: float | None
    images_per_s: float | None
    val_rank1: float | None
    val_mAP: float | None
    best_val_mAP: float | None
    rank1: float | None
    rank5: float | None
    rank10: float | None
    mAP: float | None
    mAP_trapezoid: float | None
    mINP: float | None
    eer: float | None
    auc: float | None
    tar_at_far_1e3: float | None
    before_rank1: float | None
    before_mAP: float | None
    pixels_rank1: float | None
    pixels_mAP: float | None
    geometry_intra: float | None
    geometry_inter: float | None
    geometry_ratio: float | None
    geometry_hard_gap: float | None
    geometry_angle: float | None
    test_geometry_intra: float | None
    test_geometry_inter: float | None
    test_geometry_ratio: float | None
    test_geometry_hard_gap: float | None
    test_geometry_angle: float | None
    tags: tuple[str, ...]

    @property
    def protocol(self) -> str:
        """Equal where the numbers of two runs may share a table."""
        return f"{self.dataset} · {self.subset} · {self.gallery} · {self.fingerprint[:8]}"


# Of a run that has not finished: the epoch of its best validation so far; of equal ones the later, as in the trainer.
_BEST_EPOCH = """coalesce(best_epoch, (
    SELECT CAST(round(1.0 * metric.step * run.epochs / run.steps) AS INTEGER) FROM metric
    WHERE metric.run = run.number AND metric.key = (SELECT id FROM metric_key WHERE name = 'val/mAP')
    ORDER BY metric.value DESC, metric.step DESC LIMIT 1))"""
_COLUMNS = ", ".join(
    _BEST_EPOCH if field.name == "best_epoch" else field.name for field in fields(RunRow) if field.name != "tags"
)


class Summary(NamedTuple):
    """One metric of a run: how many points, the last one, the smallest and the largest value."""

    n: int
    last: float | None
    last_step: int
    min: float | None
    max: float | None


class Message(NamedTuple):
    t: float | None
    level: str
    text: str


def list_runs(history: Engine, *, archived: bool = False) -> list[RunRow]:
    """All runs by number; the archived ones only where asked for."""
    where = "" if archived else "WHERE NOT archived"
    with reading(history) as connection:
        tags: dict[int, tuple[str, ...]] = defaultdict(tuple)
        for run, tag in connection.exec_driver_sql("SELECT run, tag FROM tag ORDER BY run, tag"):
            tags[run] += (tag,)
        rows = connection.exec_driver_sql(f"SELECT {_COLUMNS} FROM run {where} ORDER BY number").all()
    return [
        RunRow(number, Path(path), bool(archived), bool(stalled), *rest, tags.get(number, ()))  # type: ignore[call-arg]
        for number, path, archived, stalled, *rest in rows
    ]


def find_run(history: Engine, text: str) -> RunRow:
    """The run that `text` names: a number, a unique beginning of a name, or `last`. Raises UserError otherwise."""
    rows = list_runs(history, archived=True)
    if not rows:
        raise UserError("There are no runs yet: start one with `handreid run --combo ce`.")
    if text == "last":
        return rows[-1]
    if text.isdigit():
        fitting = [row for row in rows if row.number == int(text)]
    else:
        fitting = [row for row in rows if text in _names(row)] or [
            row for row in rows if any(name.startswith(text) for name in _names(row))
        ]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise UserError(f"There is no run {text!r}: see `handreid runs`.")
    shown = ", ".join(f"{row.number} {row.name}" for row in fitting[:5])
    raise UserError(f"{text!r} fits {len(fitting)} runs ({shown}{', …' if len(fitting) > 5 else ''}): give a number.")


def _names(row: RunRow) -> tuple[str, str, str]:
    return row.name, row.path.name, row.path.name.partition("-")[2]


def metric_keys(history: Engine, number: int) -> list[str]:
    """The names of the metrics that the run has, sorted."""
    return sorted(summary(history, number))


def summary(history: Engine, number: int) -> dict[str, Summary]:
    """Every metric of the run, summarised."""
    with reading(history) as connection:
        rows = connection.exec_driver_sql(
            "SELECT name, n, last, last_step, min, max FROM summary JOIN metric_key ON id = key WHERE run = ?",
            (number,),
        )
        return {name: Summary(*rest) for name, *rest in rows}


def configuration(history: Engine, number: int) -> dict[str, Any]:
    """The run's configuration: dotted keys and plain values."""
    return _configurations(history, [number])[number]


def differing_configuration(history: Engine, numbers: Iterable[int]) -> dict[str, dict[int, Any]]:
    """The settings that are not equal in these runs: for each key the value of each run, None where it has none."""
    found = _configurations(history, list(numbers))
    keys = sorted({key for settings in found.values() for key in settings})
    values = {key: {number: settings.get(key) for number, settings in found.items()} for key in keys}
    return {key: by_run for key, by_run in values.items() if len(set(map(repr, by_run.values()))) > 1}


def _configurations(history: Engine, numbers: list[int]) -> dict[int, dict[str, Any]]:
    marks = ", ".join("?" * len(numbers))
    found: dict[int, dict[str, Any]] = {number: {} for number in numbers}
    with reading(history) as connection:
        for run, key, value in connection.exec_driver_sql(
            f"SELECT run, key, value FROM configuration WHERE run IN ({marks}) ORDER BY key", tuple(numbers)
        ):
            found[run][key] = json.loads(value)
    return found


def messages(history: Engine, number: int) -> list[Message]:
    """What the trainer said, in order; and a last word where lines of events.jsonl were damaged."""
    with reading(history) as connection:
        rows = connection.exec_driver_sql(
            "SELECT t, level, text FROM message WHERE run = ? ORDER BY n", (number,)
        ).all()
        damaged = connection.exec_driver_sql("SELECT damaged FROM run WHERE number = ?", (number,)).scalar()
    found = [Message(*row) for row in rows]
    if damaged:
        lines = "1 line" if damaged == 1 else f"{damaged} lines"
        found.append(Message(None, "warning", f"{lines} of {run_files.EVENTS} could not be read and were left out."))
    return found
