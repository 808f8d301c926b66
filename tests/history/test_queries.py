"""What the history answers: runs by any name, curves that keep their spikes, configurations side by side."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from engine.contract.errors import UserError
from handreid_tui.history import (
    archive,
    configuration,
    curve,
    differing_configuration,
    find_run,
    ingest,
    list_runs,
    metric_keys,
    open_history,
    set_name,
    summary,
)
from tests.support.run_files import append, finish, make_run


@pytest.fixture
def history(tmp_path: Path):
    history = open_history(tmp_path / "runs.db")
    for combo, seed in (("ce", 0), ("ce_triplet", 0), ("ce_triplet", 1), ("ce_triplet_center", 0)):
        finish(make_run(tmp_path / "runs", combo, seed))
    ingest(history, tmp_path / "runs")
    yield history
    history.dispose()


@pytest.mark.parametrize(
    ("text", "number"),
    [("3", 3), ("0003", 3), ("last", 4), ("0002", 2), ("0002-ce", 2), ("ce", 1), ("ce_triplet_c", 4), ("best", 3)],
)
def test_a_run_goes_by_number_name_or_beginning(history: Engine, text: str, number: int) -> None:
    set_name(history, 3, "best so far")
    assert find_run(history, text).number == number


def test_a_name_that_fits_several_runs_names_them(history: Engine) -> None:
    with pytest.raises(
        UserError, match=r"'ce_triplet' matches 2 runs \(0002-ce_triplet, 0003-ce_triplet\): give a number"
    ):
        find_run(history, "ce_triplet")
    with pytest.raises(UserError, match=r"'ce_t' matches 3 runs"):
        find_run(history, "ce_t")
    for unknown in ("9", "arc", ""):
        with pytest.raises(UserError, match=r"There is no run|matches 4 runs"):
            find_run(history, unknown)


def test_archived_runs_are_found_but_not_listed(history: Engine) -> None:
    archive(history, 4)
    assert [row.number for row in list_runs(history)] == [1, 2, 3]
    assert [row.number for row in list_runs(history, archived=True)] == [1, 2, 3, 4]
    assert find_run(history, "last").number == 4


def test_an_empty_history_says_how_to_begin(tmp_path: Path) -> None:
    history = open_history(tmp_path / "empty.db")
    assert list_runs(history) == []
    with pytest.raises(UserError, match="There are no runs yet"):
        find_run(history, "last")
    history.dispose()


def test_configurations_stand_side_by_side(history: Engine) -> None:
    assert configuration(history, 2)["train.ids_per_batch"] == 16
    assert configuration(history, 2)["train.milestones"] == [30.0, 50.0]
    differing = differing_configuration(history, [2, 3])
    assert differing == {"seed": {2: 0, 3: 1}}
    assert differing_configuration(history, [1, 4])["loss.center.weight"] == {1: None, 4: 5e-4}
    assert differing_configuration(history, [2]) == {}
    assert configuration(history, 99) == {}


def test_an_unknown_metric_or_run_has_an_empty_curve(history: Engine) -> None:
    for number, key in ((1, "dance"), (99, "total")):
        steps, values = curve(history, number, key, buckets=5)
        assert (steps.dtype, values.dtype, len(steps), len(values)) == (np.int64, np.float64, 0, 0)
    assert metric_keys(history, 99) == []


def test_a_curve_can_be_read_on_from_a_step(history: Engine) -> None:
    _, values = curve(history, 1, "total")
    later, rest = curve(history, 1, "total", since=14)
    assert later.tolist() == [15, 16, 17, 18, 19]
    assert rest.tolist() == values[15:].tolist()
    assert curve(history, 1, "total", since=19)[0].size == 0
    assert curve(history, 1, "total", since=99, buckets=2)[0].size == 0


def test_a_thinned_curve_keeps_its_ends_and_every_spike(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs")
    generator = np.random.default_rng(0)
    wanted = generator.normal(size=5000)
    wanted[[123, 2500, 4321]] = 50, -50, 60
    wanted[3000:3100] = np.nan
    steps = np.cumsum(generator.integers(1, 4, 5000))
    lines = [
        {"kind": "step", "step": int(step), "total": None if np.isnan(value) else value}
        for step, value in zip(steps, wanted, strict=True)
    ]
    append(run, "".join(json.dumps(line) + "\n" for line in lines).encode())
    history = open_history(tmp_path / "runs.db")
    ingest(history, tmp_path / "runs")
    thin_steps, thin = curve(history, 1, "total", buckets=100)
    assert len(thin) <= 202
    assert (thin_steps[0], thin_steps[-1]) == (steps[0], steps[-1])
    assert (np.diff(thin_steps) > 0).all()
    points = dict(zip(steps.tolist(), wanted.tolist(), strict=True))
    assert all(
        np.array_equal(points[step], value, equal_nan=True)
        for step, value in zip(thin_steps.tolist(), thin, strict=True)
    )
    bucket = (steps - steps[0]) * 100 // (steps[-1] - steps[0] + 1)
    for b in range(100):
        inside = wanted[bucket == b]
        if not np.isnan(inside).all():
            assert np.nanmin(inside) in thin
            assert np.nanmax(inside) in thin
    assert np.isnan(thin).any()  # the gap is still to be seen
    since = int(steps[2000])
    part, _ = curve(history, 1, "total", buckets=100, since=since)
    assert part[0] == steps[2001]
    assert len(part) <= 202
    assert summary(history, 1)["total"].n == 5000
    history.dispose()
