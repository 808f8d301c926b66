"""Whatever stands in events.jsonl, in whatever pieces it arrives: no error, and the same content as read at once."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.contract.events import KINDS
from handreid_tui.history import ingest, list_runs, open_history
from tests.history.test_ingest import dump, summaries_from_points
from tests.support.run_files import append, make_run

small = st.integers(-1, 6) | st.floats(-1, 1) | st.sampled_from([None, True, "ce", "final", "validation", [], {}])
odd = st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from([10**400, "\ud800", "\x1b[2J"])
value = small | odd
NAMES = """t step epoch epochs steps total lr images_per_s terms stage trial rank1 mAP geometry resumed_from
    level text reason summary status host device cpu seconds"""
names = st.sampled_from(NAMES.split())
inner = st.sampled_from(["ce", "intra", "best_epoch", "geometry", "message"]) | st.text(max_size=2)
nested = st.dictionaries(inner, value)
event = st.builds(
    lambda kind, fields: {"kind": kind} | fields,
    st.sampled_from(list(KINDS)) | st.text(max_size=4),
    st.dictionaries(names, value | nested, max_size=8),
)
line = event.map(lambda event: json.dumps(event).encode() + b"\n") | st.binary(max_size=20)


def check(lines: list[bytes], cuts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder) / "runs")
        (run / "events.jsonl").touch()
        polled, content, start = open_history(Path(folder) / "polled.db"), b"".join(lines), 0
        for cut in [*sorted(cut % (len(content) + 1) for cut in cuts), len(content)]:
            append(run, content[start:cut])
            ingest(polled, run.parent)
            start = cut
        at_once = open_history(Path(folder) / "once.db")
        ingest(at_once, run.parent)
        assert dump(polled) == dump(at_once)
        assert dump(polled)["summary"] == summaries_from_points(polled)
        assert len(list_runs(polled)) == 1
        polled.dispose()
        at_once.dispose()


case = given(st.lists(line, max_size=12), st.lists(st.integers(0, 5000), max_size=4))
quiet = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=25, deadline=None, suppress_health_check=quiet)
@case
def test_any_events_in_any_pieces(lines: list[bytes], cuts: list[int]) -> None:
    check(lines, cuts)


@pytest.mark.long
@settings(max_examples=2000, deadline=None, suppress_health_check=quiet)
@case
def test_thousands_of_files_in_any_pieces(lines: list[bytes], cuts: list[int]) -> None:
    check(lines, cuts)
