"""What comparisons need of a run's final report, kept in the history: thousands of reports need not be read again.

A row stands as long as size and times of the files that it was made from. The run directory stays the truth: without
the rows, the same is read from there.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sqlalchemy import Engine

from engine.contract import run_files
from engine.contract.config import RunConfig, setting_keys
from engine.contract.errors import UserError
from engine.contract.events import RunStarted, as_object, dumps, parse
from engine.contract.terms import TERMS
from engine.search.open_set import FPIRS
from handreid_tui.compare.evaluation import Floats, Scores
from handreid_tui.compare.finished_run import FinishedRun, read_run
from handreid_tui.compare.open_set_scores import OpenSetScores
from handreid_tui.history import RunRow
from handreid_tui.history.ingest import SETTLED
from handreid_tui.history.schema import reading, writing

FORM = 2  # of the rows: another number makes them be read anew
FILES = (
    run_files.CONFIG,
    run_files.EVENTS,
    f"{run_files.EVALUATION}/{run_files.FEATURES}",
    f"{run_files.EVALUATION}/{run_files.IMAGES}",
    f"{run_files.EVALUATION}/{run_files.SUMMARY}",
    f"{run_files.EVALUATION}/{run_files.TRIALS}",
)
READERS = 8  # threads: on a network file system, reading is mostly waiting
AT_ONCE = 200  # rows in a transaction: other writers wait some milliseconds, and an interrupted first time is not lost


class _Row(NamedTuple):
    run: int
    stamp: str
    seed: int
    config: str
    started: str
    summary: str
    queries: str
    trials: int
    sums: bytes
    open_set: bytes


def read_runs(history: Engine, rows: Sequence[RunRow]) -> list[FinishedRun | UserError]:
    """Each finished run, or why it cannot be read; what was read from the directories is kept for the next time."""
    found: dict[int, FinishedRun | UserError] = {}
    known, counts = _known(history, rows), dict[str, Floats]()
    for row in rows:
        kept = known.pop(row.number, None)
        if kept and kept.stamp == _stamp(row.path).text:
            found[row.number] = _recalled(row, kept, counts)
    unread = [row for row in rows if row.number not in found]
    for start in range(0, len(unread), AT_ONCE):
        some = unread[start : start + AT_ONCE]
        with ThreadPoolExecutor(READERS) as pool:
            read = list(pool.map(_read, some))
        found |= {row.number: run for row, (run, _) in zip(some, read, strict=True)}
        _keep(history, [noted for _, noted in read if noted])
    return [found[row.number] for row in rows]


def _read(row: RunRow) -> tuple[FinishedRun | UserError, _Row | None]:
    """The run from its directory, and the row to keep of it."""
    made_from = _stamp(row.path)  # before reading: a change meanwhile must show
    try:
        run = read_run(row.path, row.number, row.name or row.path.name)
    except UserError as error:
        return error, None
    return run, _row(run, made_from.text) if made_from.settled else None


def _known(history: Engine, rows: Sequence[RunRow]) -> dict[int, _Row]:
    """What is kept of these runs."""
    columns = ", ".join(_Row._fields)
    with reading(history) as connection:
        if len(rows) < AT_ONCE:
            marks = ", ".join("?" * len(rows))
            where, values = f"WHERE run IN ({marks})", tuple(row.number for row in rows)
        else:
            where, values = "", ()
        found = connection.exec_driver_sql(f"SELECT {columns} FROM report {where}", values)
        return {row[0]: _Row(*row) for row in found}


def _keep(history: Engine, rows: list[_Row]) -> None:
    """Keep rows of runs that are still there; where the history cannot be written, the next time reads again."""
    if not rows:
        return
    marks = ", ".join("?" * len(_Row._fields))
    try:
        with writing(history) as connection:
            connection.exec_driver_sql(
                f"INSERT OR REPLACE INTO report SELECT {marks} WHERE EXISTS (SELECT 1 FROM run WHERE number = ?1)",
                [tuple(row) for row in rows],
            )
    except UserError:
        pass


def _row(run: FinishedRun, made_from: str) -> _Row | None:
    """The row to keep; None where the evaluation cannot be read."""
    try:
        scores = run.scores
    except UserError:
        return None
    whole = np.stack([scores.sums["rank1"], scores.counts]).astype("<i4")
    return _Row(
        run.number,
        made_from,
        run.seed,
        run.config.to_json(exclude={"seed"}),
        dumps(as_object(run.started)),
        json.dumps(run.summary),
        scores.queries,
        len(scores.counts),
        scores.sums["mAP"].astype("<f8").tobytes() + whole.tobytes(),
        _packed(run),
    )


def _packed(run: FinishedRun) -> bytes:
    """The open-set scores, empty where there are none: rates, errors by person, and the resamples in what is left."""
    try:
        found = run.open_set
    except UserError:
        found = None
    if found is None:
        return b""
    by_person = np.stack([found.missed, found.mated]).astype("<i4")
    rates = np.array([len(found.mated), *(found.rates[key] for key in FPIRS)], dtype="<f8")
    return rates.tobytes() + by_person.tobytes() + found.replicates.astype("<f2").tobytes()


def _unpacked(packed: bytes) -> OpenSetScores | None:
    if not packed:
        return None
    people, *rates = np.frombuffer(packed, "<f8", 1 + len(FPIRS)).tolist()
    start, count = 8 * (1 + len(FPIRS)), int(people)
    missed, mated = np.frombuffer(packed, "<i4", 2 * count, start).astype(float).reshape(2, count)
    replicates = np.frombuffer(packed, "<f2", offset=start + 8 * count)
    return OpenSetScores(dict(zip(FPIRS, rates, strict=True)), missed, mated, replicates)


def _recalled(row: RunRow, kept: _Row, counts: dict[str, Floats]) -> FinishedRun:
    """The run as `read_run` gives it. `counts`: what the same queries counted in other runs."""
    config = _config(kept.config).model_copy(update={"seed": kept.seed})
    cells = len(kept.sums) // 16
    shape = (kept.trials, cells // kept.trials)
    rank1 = np.frombuffer(kept.sums, "<i4", cells, 8 * cells).astype(float).reshape(shape)
    if kept.queries not in counts:
        counts[kept.queries] = np.frombuffer(kept.sums, "<i4", cells, 12 * cells).astype(float).reshape(shape)
    sums = {"mAP": np.frombuffer(kept.sums, "<f8", cells).reshape(shape), "rank1": rank1}
    scores = Scores(sums, counts[kept.queries], kept.queries)
    started, summary = parse(kept.started), json.loads(kept.summary)
    started = started if isinstance(started, RunStarted) else RunStarted()
    return FinishedRun(
        row.number, row.name or row.path.name, row.path, config, started, summary, scores, _unpacked(kept.open_set)
    )


@lru_cache(maxsize=4096)
def _config(text: str) -> RunConfig:
    return RunConfig.from_json(text)


# Whether the files are those that a row was made from


class _Stamp(NamedTuple):
    """Size and times of the files. `settled`: none is so young that it may change again in the same tick."""

    text: str
    settled: bool


def _stamp(run: Path) -> _Stamp:
    folder, parts, times = str(run), [_form()], list[float]()
    for name in FILES:
        try:
            found = os.lstat(f"{folder}/{name}")
        except OSError:
            return _Stamp("", settled=False)
        parts.append(f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}")
        times += (found.st_mtime, found.st_ctime)
    now = time.time()
    return _Stamp(", ".join(parts), all(abs(now - then) >= SETTLED for then in times))


@cache
def _form() -> str:
    """Changes with the settings that a configuration has."""
    settings = [*setting_keys(), *((name, *term.options) for name, term in TERMS.items())]
    return f"{FORM}-{blake2b(repr(settings).encode(), digest_size=6).hexdigest()}"
