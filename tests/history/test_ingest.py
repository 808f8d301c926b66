"""What reaches the history from run directories: every complete event once, whatever the file looks like."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from handreid_tui.history import (
    curve,
    find_run,
    ingest,
    ingest_run,
    list_runs,
    messages,
    metric_keys,
    open_history,
    rebuild,
    summary,
)
from handreid_tui.history.schema import reading
from handreid_tui.runs.claim import claim
from handreid_tui.runs.meta import Meta, edit_meta
from handreid_tui.runs.safe_files import write_json
from handreid_tui.runs.state import State, observe
from tests.support.events import event as as_event
from tests.support.run_files import Trainer, append, finish, make_run


@pytest.fixture
def history(tmp_path: Path):
    history = open_history(tmp_path / "runs.db")
    yield history
    history.dispose()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def dump(history: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """All that the history holds, key numbers as names; without the times at which it looked at files."""
    summary = "SELECT run, name, n, last, last_step, min, max FROM summary JOIN metric_key ON id = key ORDER BY 1, 2"
    queries = {
        "run": "SELECT * FROM run ORDER BY number",
        "tag": "SELECT * FROM tag ORDER BY run, tag",
        "configuration": "SELECT * FROM configuration ORDER BY run, key",
        "message": "SELECT * FROM message ORDER BY run, n",
        "metric": "SELECT run, name, step, value FROM metric JOIN metric_key ON id = key ORDER BY 1, 2, 3",
        "summary": summary,
        "position": "SELECT run, offset, head, attempt_started, seconds_before FROM position ORDER BY run",
    }
    with reading(history) as connection:
        return {name: [tuple(row) for row in connection.exec_driver_sql(sql)] for name, sql in queries.items()}


def summaries_from_points(history: Engine) -> list[tuple[Any, ...]]:
    """The summary as the points alone would give it."""
    points: dict[tuple[int, str], list[tuple[int, float | None]]] = {}
    for run, name, step, value in dump(history)["metric"]:
        points.setdefault((run, name), []).append((step, value))
    found = []
    for (run, name), pairs in sorted(points.items()):
        values = [value for _, value in pairs if value is not None]
        low, high = min(values, default=None), max(values, default=None)
        found.append((run, name, len(pairs), pairs[-1][1], pairs[-1][0], low, high))
    return found


def test_a_finished_run_arrives_with_all_its_figures(history: Engine, runs: Path) -> None:
    finish(make_run(runs, seed=4, tags=["b", "a"], note="why"))
    report = ingest(history, runs)
    assert (report.runs, report.events, report.damaged, report.changed) == (1, 31, 0, {1})
    (row,) = list_runs(history)
    assert (row.number, row.name, row.combo, row.seed, row.status) == (
        1,
        "0001-ce_triplet",
        "ce_triplet",
        4,
        "finished",
    )
    assert (row.tags, row.note, row.path) == (("a", "b"), "why", runs.resolve() / "0001-ce_triplet")
    assert (row.epoch, row.epochs, row.step, row.steps, row.best_epoch) == (2, 2, 20, 20, 1)
    final = {"rank1": 0.95, "mAP": 0.85, "before_rank1": 0.4, "pixels_mAP": 0.2}
    validation = {"val_mAP": 0.7, "best_val_mAP": 0.8}
    geometry = {"geometry_intra": 0.4, "geometry_ratio": 0.5, "geometry_angle": None}
    of_the_test = {"test_geometry_intra": 0.3, "test_geometry_angle": 20.0}
    expected = final | validation | geometry | of_the_test | {"images_per_s": 500.0}
    assert {name: row.metrics[name] for name in expected} == expected
    assert row.protocol == "synthetic · dorsal-right · all · ffffffff"
    assert row.started is not None and row.ended is not None and row.seconds is not None
    assert row.seconds == pytest.approx(row.ended - row.started, abs=1e-3)
    assert [(message.level, message.text) for message in messages(history, 1)] == [
        ("warning", "one image was left out")
    ]
    keys = "total lr images_per_s term/ce term/triplet val/rank1 test/mAP before/rank1 pixels/mAP"
    keys += " geometry/intra epoch/seconds epoch/total system/gpu_util test/geometry/intra"
    assert set(keys.split()) <= set(metric_keys(history, 1))
    steps, values = curve(history, 1, "total")
    assert steps.tolist() == list(range(20))
    assert values == pytest.approx([2 + math.cos(step / 7) for step in range(20)])
    assert dump(history)["summary"] == summaries_from_points(history)


def test_a_second_ingest_adds_nothing(history: Engine, runs: Path) -> None:
    finish(make_run(runs))
    ingest(history, runs)
    before = dump(history)
    assert ingest(history, runs).events == 0
    assert dump(history) == before


def test_byte_by_byte_or_at_once_is_the_same(tmp_path: Path, history: Engine, runs: Path) -> None:
    run = finish(make_run(runs))
    whole = (run / "events.jsonl").read_bytes()
    ingest(history, runs)
    at_once = dump(history)
    slow = open_history(tmp_path / "slow.db")
    (run / "events.jsonl").write_bytes(b"")
    for start in range(0, len(whole), 97):
        append(run, whole[start : start + 97])
        ingest_run(slow, run)
    assert dump(slow) == at_once
    slow.dispose()


def test_a_half_written_last_line_waits_for_its_end(history: Engine, runs: Path) -> None:
    run = make_run(runs)
    Trainer(run).start().steps(0, 3)
    line = b'{"v":1,"t":1.0,"kind":"step","step":3,"epoch":1,"total":0.25,"terms":{}}\n'
    append(run, line[:30])
    ingest(history, runs)
    assert summary(history, 1)["total"].n == 3
    append(run, line[30:])
    ingest(history, runs)
    assert summary(history, 1)["total"].last == 0.25


def test_damaged_lines_and_unknown_kinds_are_left_out_and_the_rest_is_kept(history: Engine, runs: Path) -> None:
    run = make_run(runs)
    Trainer(run).start().steps(0, 2)
    append(
        run, b'{"kind":"step","st', b"\n", b"\x00\xff\n", b"[1]\n", b"\n", {"kind": "dance", "step": 9, "total": 1.0}
    )
    Trainer(run).steps(2, 4)
    report = ingest(history, runs)
    assert report.damaged == 3
    assert curve(history, 1, "total")[0].tolist() == [0, 1, 2, 3]
    assert messages(history, 1)[-1].text == "3 lines of events.jsonl could not be read and were left out."


def test_what_is_no_number_is_a_gap(history: Engine, runs: Path) -> None:
    run = make_run(runs)
    Trainer(run).start().steps(0, 2).events.write(as_event("step", step=2, total=math.nan, terms={"ce": math.inf}))
    append(run, b'{"kind":"step","step":3,"total":NaN}\n', b'{"kind":"step","step":4,"total":-Infinity}\n')
    ingest(history, runs)
    steps, values = curve(history, 1, "total")
    assert steps.tolist() == [0, 1, 2, 3, 4]
    assert [math.isnan(value) for value in values] == [False, False, True, True, True]
    assert summary(history, 1)["total"].n == 5
    assert summary(history, 1)["total"].last is None
    assert summary(history, 1)["total"].max == 3.0
    assert list_runs(history)[0].metrics["total"] is None
    assert dump(history)["summary"] == summaries_from_points(history)


HOSTILE: list[dict[str, Any]] = [
    {"kind": "step"},
    {"kind": "step", "step": -1, "total": 1},
    {"kind": "step", "step": True, "total": 1},
    {"kind": "step", "step": 1e3, "total": 1},
    {"kind": "step", "step": 10**400, "total": 10**400},
    {"kind": "step", "step": 1, "total": "much", "terms": [1], "lr": {"a": 1}},
    {"kind": "step", "step": 1, "terms": {"\ud800": 1.0, "\x1b[2J": 2.0, "x" * 5000: 3.0, "": None}},
    {"kind": "started", "t": "now", "epochs": "many", "steps": -5, "host": 7, "resumed_from": "x"},
    {"kind": "started", "t": -1e400, "device": "\ud800\x00cpu"},
    {"kind": "evaluation", "step": 1, "stage": ["final"], "rank1": 1},
    {"kind": "evaluation", "step": 1, "stage": "final", "trial": 3, "rank1": 1},
    {"kind": "epoch", "step": None, "epoch": 10**300, "geometry": "round"},
    {"kind": "epoch", "step": 2**60, "geometry": {"intra": [1]}},
    {"kind": "message", "level": 3, "text": "\ud800" * 3, "t": {}},
    {"kind": "ended", "status": "finished", "reason": [1], "summary": {"best_epoch": -1, "geometry": 5}},
    {"kind": "ended", "reason": {"message": {}}, "summary": "fine"},
]


@pytest.mark.parametrize("event", HOSTILE, ids=lambda event: event["kind"])
def test_no_event_can_break_it(history: Engine, runs: Path, event: dict[str, Any]) -> None:
    run = make_run(runs)
    append(run, json.dumps(event).encode() + b"\n")
    Trainer(run).steps(5, 6)
    ingest(history, runs)
    assert 5 in curve(history, 1, "total")[0]
    assert dump(history)["summary"] == summaries_from_points(history)


def test_a_replaced_file_is_read_from_its_beginning(history: Engine, runs: Path) -> None:
    run = finish(make_run(runs))
    ingest(history, runs)
    (run / "events.jsonl").unlink()  # shorter
    Trainer(run).start().steps(0, 2)
    ingest(history, runs)
    assert curve(history, 1, "total")[0].tolist() == [0, 1]
    assert list_runs(history)[0].metrics["rank1"] is None
    (run / "events.jsonl").unlink()  # longer, with another beginning
    Trainer(run).start(seed="other").steps(5, 9)
    ingest(history, runs)
    assert curve(history, 1, "total")[0].tolist() == [5, 6, 7, 8]
    assert messages(history, 1) == []


def test_a_resumed_run_holds_what_an_uninterrupted_one_would(history: Engine, runs: Path) -> None:
    run = make_run(runs)
    Trainer(run).start().steps(0, 10).evaluate("validation", 10, 0.5, 0.4).steps(10, 17, shift=9.0)
    ingest(history, runs)
    assert list_runs(history)[0].step == 17
    # Killed after a checkpoint at step 10: steps 10 to 16 are made again, or not at all.
    Trainer(run).start(resumed_from=10)
    ingest(history, runs)
    assert curve(history, 1, "total")[0].tolist() == list(range(10))
    assert (list_runs(history)[0].step, list_runs(history)[0].metrics["val_mAP"]) == (10, 0.4)
    Trainer(run).steps(10, 13)
    ingest(history, runs)
    assert curve(history, 1, "total")[0].tolist() == list(range(13))
    assert summary(history, 1)["total"].max == 3.0  # not the voided 12
    assert dump(history)["summary"] == summaries_from_points(history)


def test_a_run_started_again_from_scratch_forgets_its_first_attempt(history: Engine, runs: Path) -> None:
    run = make_run(runs)
    Trainer(run).start().evaluate("before", 0, 0.9, 0.9).steps(0, 5)
    Trainer(run).start().steps(0, 2)
    ingest(history, runs)
    assert curve(history, 1, "total")[0].tolist() == [0, 1]
    assert list_runs(history)[0].metrics["before_rank1"] is None


def test_seconds_add_up_over_attempts_and_survive_clock_jumps(history: Engine, runs: Path) -> None:
    run = make_run(runs)
    for t, event in (
        (100.0, {"kind": "started", "resumed_from": None}),
        (130.0, {"kind": "step", "step": 0, "total": 1.0}),
        (9000.0, {"kind": "message", "text": "decoding"}),
        (9005.0, {"kind": "started", "resumed_from": 0}),
        (9012.0, {"kind": "step", "step": 0, "total": 1.0}),
        (9000.0, {"kind": "started", "resumed_from": 0}),
        (50.0, {"kind": "step", "step": 0, "total": 1.0}),
    ):
        append(run, event | {"v": 1, "t": t})
        ingest(history, runs)
    assert list_runs(history)[0].seconds == 37.0


def test_waiting_is_no_time_of_a_run(history: Engine, runs: Path) -> None:
    never, resumed = make_run(runs), make_run(runs)
    for path, t, event in (
        (never, 100.0, {"kind": "ended", "status": "failed"}),
        (never, 9000.0, {"kind": "ended", "status": "stopped"}),
        (resumed, 100.0, {"kind": "started", "resumed_from": None}),
        (resumed, 130.0, {"kind": "step", "step": 0, "total": 1.0}),  # killed here
        (resumed, 5000.0, {"kind": "message", "text": "decoding"}),
        (resumed, 5001.0, {"kind": "ended", "status": "failed"}),
        (resumed, 7000.0, {"kind": "ended", "status": "stopped", "reason": "Removed from the queue."}),
        (resumed, 9000.0, {"kind": "started", "resumed_from": 0}),
        (resumed, 9012.0, {"kind": "ended", "status": "finished"}),
    ):
        append(path, event | {"v": 1, "t": t})
        ingest(history, runs)
    assert [row.seconds for row in list_runs(history)] == [None, 42.0]
    rebuild(Path(history.url.database or ""), runs)
    assert [row.seconds for row in list_runs(history)] == [None, 42.0]


def test_the_status_follows_the_files(history: Engine, runs: Path) -> None:
    run = make_run(runs)

    def status() -> str:
        ingest(history, runs)
        return list_runs(history)[0].status

    assert status() == "starting"
    write_json(run / "queued.json", {"t": 0.0, "priority": 0, "resume": False})
    assert status() == "queued"
    lock = claim(run)
    assert lock is not None
    (run / "queued.json").unlink()
    Trainer(run).start()
    assert status() == "running"
    Trainer(run).end("stopped")
    os.close(lock)
    assert status() == "stopped"
    write_json(run / "queued.json", {"t": 0.0, "priority": 0, "resume": True})
    assert status() == "queued"
    (run / "queued.json").unlink()
    Trainer(run).start(resumed_from=3).end("failed", {"kind": "nan", "message": "The loss is NaN."})
    assert status() == "failed"
    assert list_runs(history)[0].reason == "The loss is NaN."


def test_what_others_enter_is_seen(history: Engine, runs: Path) -> None:
    run = finish(make_run(runs))
    ingest(history, runs)
    edit_meta(run, lambda meta: Meta("mine", ("t",), "n", True, meta.created))
    report = ingest(history, runs)
    assert report.changed == {1}
    assert list_runs(history) == []
    (row,) = list_runs(history, archived=True)
    assert (row.name, row.tags, row.note, row.archived) == ("mine", ("t",), "n", True)
    assert row.dataset == "synthetic" and row.metrics["rank1"] == 0.95


def test_settled_runs_are_not_touched_again(history: Engine, runs: Path) -> None:
    run = finish(make_run(runs))
    waiting = make_run(runs)
    write_json(waiting / "queued.json", {"t": 0.0})
    for path in (run, waiting):
        os.utime(path, (1e9, 1e9))  # as if last changed long ago
    assert ingest(history, runs).changed == {1, 2}
    assert ingest(history, runs).changed == set()
    append(run, b'{"kind":"message","text":"late"}\n')
    assert ingest(history, runs).changed == {1}


@pytest.mark.parametrize("before", [0, 20], ids=["no events before", "after some steps"])
def test_a_run_that_ends_while_it_is_looked_at_arrives_with_all_its_figures(
    history: Engine, runs: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    run = make_run(runs)
    if before:
        Trainer(run).start().steps(0, before)
    ingest(history, runs)

    def ends_meanwhile(path: Path) -> State:
        trainer = Trainer(path)
        if not before:
            trainer.start().steps(0, 20)
        trainer.evaluate("final", 20, 0.95, 0.85).end(summary={"best_epoch": 1})
        return observe(path)

    monkeypatch.setattr(sys.modules[ingest.__module__], "observe", ends_meanwhile)
    ingest(history, runs)
    monkeypatch.undo()
    (row,) = list_runs(history)
    assert (row.status, row.metrics["rank1"], row.best_epoch) == ("finished", 0.95, 1)
    assert curve(history, 1, "total")[0].tolist() == list(range(20))
    before_next = dump(history)
    assert ingest(history, runs).events == 0
    assert dump(history) == before_next


def test_a_run_whose_directory_is_gone_is_forgotten_wholly(history: Engine, runs: Path) -> None:
    run, kept = finish(make_run(runs, tags=["a"])), finish(make_run(runs))
    ingest(history, runs)
    for file in run.iterdir():
        file.unlink()
    run.rmdir()
    assert ingest(history, runs).removed == {1}
    assert {row[0] for rows in dump(history).values() for row in rows} == {2}
    runs.rename(runs.with_name("away"))
    assert ingest(history, runs).removed == set()  # a disk that is not there says nothing about its runs
    assert find_run(history, "last").path.name == kept.name


def test_a_moved_directory_of_runs_is_found_at_its_new_place(history: Engine, runs: Path) -> None:
    finish(make_run(runs))
    ingest(history, runs)
    moved = runs.rename(runs.with_name("moved"))
    ingest(history, moved)
    assert list_runs(history)[0].path.parent == moved.resolve()


def test_a_run_without_a_readable_configuration_is_shown_with_its_problem(history: Engine, runs: Path) -> None:
    for content in ("", "{}", '{"combo": "ce", "loss": {"dance": {}}}'):
        run = finish(make_run(runs))
        (run / "config.json").write_text(content)
    report = ingest(history, runs)
    assert len(report.problems) == 3
    assert [row.metrics["rank1"] for row in list_runs(history)] == [0.95] * 3


def test_two_directories_with_one_number_are_reported(history: Engine, runs: Path) -> None:
    finish(make_run(runs))
    (runs / "0001-other").mkdir()
    report = ingest(history, runs)
    assert report.problems == ["0001-other has the number of 0001-ce_triplet: rename it."]
    assert len(list_runs(history)) == 1


def test_links_in_a_run_directory_are_not_followed(tmp_path: Path, history: Engine, runs: Path) -> None:
    elsewhere = finish(make_run(tmp_path / "elsewhere"))
    run = make_run(runs)
    (run / "config.json").unlink()
    for name in ("events.jsonl", "config.json"):
        (run / name).symlink_to(elsewhere / name)
    report = ingest(history, runs)
    assert report.events == 0
    assert len(report.problems) == 1
    assert dump(history)["configuration"] == []
