"""What the history answers: runs, summaries, configurations, messages."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine

from engine.contract import run_files
from engine.contract.metrics import SELECTED_BY, metric, metric_columns
from handreid_tui.history.schema import reading
from handreid_tui.runs.select import choose


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as lists show it. Times are Unix seconds; what is not known (yet) is None or "".

    `sweep`, `role` and `trial` say what a run of a sweep was for. `prompt_…` are of the first stage, if there is one;
    `in_prompts` says whether it is what goes on.
    metrics: the columns of `engine.contract.metrics.metric_columns`, such as `mAP`, `val_mAP`, `best_val_mAP`, `total`.
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
    reranked: bool
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
    prompt_epochs: int | None
    prompt_steps: int | None
    prompt_step: int | None
    prompt_seconds: float | None
    in_prompts: bool
    best_epoch: int | None
    damaged: int
    sweep: int | None
    role: str
    trial: int | None
    tags: tuple[str, ...]
    metrics: Mapping[str, float | None] = field(hash=False)

    @property
    def protocol(self) -> str:
        """Equal where the numbers of two runs may share a table."""
        title = f"{self.dataset} · {self.subset} · {self.gallery} · {self.fingerprint[:8]}"
        return f"{title} · re-ranked" if self.reranked else title


_SELECTED = metric(SELECTED_BY)
# Of a run that has not finished: the epoch of its best validation so far; of equal ones the later, as in the trainer.
_KEY = f"SELECT id FROM metric_key WHERE name = '{_SELECTED.curve('validation')}'"
_BEST_EPOCH = f"""coalesce(best_epoch, (
    SELECT CAST(round(1.0 * metric.step * run.epochs / run.steps) AS INTEGER) FROM metric
    WHERE metric.run = run.number AND metric.key = ({_KEY})
    ORDER BY metric.value {"DESC" if _SELECTED.better == "higher" else "ASC"}, metric.step DESC LIMIT 1))"""
_OWN = [each.name for each in fields(RunRow) if each.name not in ("tags", "metrics")]
_METRICS = tuple(metric_columns())
_COLUMNS = ", ".join(_BEST_EPOCH if name == "best_epoch" else name for name in (*_OWN, *_METRICS))


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
    make: Callable[..., RunRow] = RunRow  # the columns are in the order of its fields
    end = len(_OWN) - 4
    return [
        make(
            number,
            Path(path),
            bool(archived),
            bool(stalled),
            *rest[:end],
            tags.get(number, ()),
            dict(zip(_METRICS, rest[end:], strict=True)),
        )
        for number, path, archived, stalled, *rest in rows
    ]


def find_run(history: Engine, text: str) -> RunRow:
    """The run that `text` names: a number, a unique beginning of a name, or `last`. Raises UserError otherwise."""
    rows = list_runs(history, archived=True)
    return choose(rows, text, path=lambda row: row.path, own_name=lambda row: row.name)


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
