"""The chart: what the rasteriser promises, without an app."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handreid_tui.ui.chart import ticks
from handreid_tui.ui.chart.compose import FIRST_LINE, MARKERS, ChartStyle, Line, best_point, compose, drawable, value_at
from handreid_tui.ui.chart.raster import View, column_spans, data_range, rasterise
from handreid_tui.ui.chart.smooth import ema
from handreid_tui.ui.chart.thin import thin


def line(y: Any, x: Any = None) -> tuple[np.ndarray, np.ndarray]:
    y = np.asarray(y, dtype=float)
    return (np.arange(len(y), dtype=float) if x is None else np.asarray(x, dtype=float)), y


def lit_rows(raster, column):
    return np.flatnonzero(raster.dots[:, column])


def test_a_rising_line_lights_the_lower_left_and_the_upper_right():
    raster = rasterise([line([0, 1])], 10, 5, View(0, 1, 0, 1))
    assert lit_rows(raster, 0).tolist() == [4]
    assert lit_rows(raster, 9).tolist() == [0]
    assert all(len(lit_rows(raster, column)) for column in range(10))


def test_a_spike_of_one_point_in_a_million_reaches_the_top():
    y = np.zeros(1_000_000)
    y[123_456] = 1.0
    raster = rasterise([line(y)], 60, 10, View(0, 1_000_000, 0, 1))
    assert raster.dots[0].any()
    assert lit_rows(raster, int(123_456 / 1_000_000 * 60)).min() == 0


def test_thinning_keeps_every_spike_and_both_ends():
    rng = np.random.default_rng(0)
    x, y = line(rng.normal(size=50_000))
    y[17_001], y[33_333] = 50.0, -50.0
    thin_x, thin_y = thin(x, y, 500)
    assert len(thin_x) <= 1002
    assert {17_001.0, 33_333.0, 0.0, 49_999.0} <= set(thin_x.tolist())
    assert np.array_equal(thin_y, y[thin_x.astype(int)])


def test_a_thinned_line_gives_the_same_picture_as_the_whole():
    rng = np.random.default_rng(1)
    x, y = line(np.cumsum(rng.normal(size=20_000)))
    view = View(0, 19_999, *data_range([(x, y)], 0, 19_999, False))
    whole = rasterise([(x, y)], 40, 12, view).dots
    thinned = rasterise([thin(x, y, 4000)], 40, 12, view).dots
    assert (whole != thinned).mean() < 0.02


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.floats(-1e3, 1e3) | st.just(float("nan")), min_size=1, max_size=60),
    st.integers(1, 40),
    st.booleans(),
)
def test_column_spans_agree_with_walking_along_the_line(values, columns, log):
    x, y = line(values)
    view = View(0.0, max(1.0, len(values) - 1.0), 1e-3, 1e3, log)
    low, high = column_spans(x, y, view, columns)
    scaled = np.log10(y, where=y > 0, out=np.full(len(y), np.nan)) if log else y
    dense_x = np.linspace(view.x0, view.x1, 4001)
    left = np.clip(np.searchsorted(x, dense_x, side="right") - 1, 0, max(0, len(x) - 2))
    right = np.minimum(left + 1, len(x) - 1)
    share = np.where(right > left, dense_x - x[left], 0.0)
    dense = np.where(
        dense_x <= x[-1], scaled[left] * (1 - share) + np.where(share > 0, scaled[right], 0) * share, np.nan
    )
    at = np.minimum((dense_x / view.x1 * columns).astype(int), columns - 1)
    for column in range(columns):
        seen = dense[at == column]
        seen = seen[np.isfinite(seen)]
        if len(seen) > 2:
            assert low[column] <= seen.min() + 1e-9 * abs(seen.min()) + 1e-9
            assert high[column] >= seen.max() - 1e-9 * abs(seen.max()) - 1e-9


def test_nan_is_a_gap_and_a_lone_point_a_dot():
    y = np.full(101, np.nan)
    y[:30], y[50], y[70:] = 1.0, 1.0, 1.0
    raster = rasterise([line(y)], 50, 3, View(0, 100, 0, 2))
    lit = raster.dots.any(axis=0)
    assert lit[:14].all()
    assert lit[36:].all()
    assert lit[25]
    assert not lit[16:24].any()
    assert not lit[27:34].any()


def test_on_a_log_axis_equal_ratios_are_equal_distances_and_zero_is_left_out():
    raster = rasterise([line([1000, 1000]), line([10, 10]), line([0, 0])], 4, 9, View(0, 1, 0.1, 1000, log=True))
    assert lit_rows(raster, 1).tolist() == [0, 4]


def test_the_later_line_lies_on_top():
    raster = rasterise([line([1, 1]), line([1, 1])], 4, 3, View(0, 1, 0, 2))
    assert set(raster.owner[raster.dots > 0].tolist()) == {1}


def test_smoothing_is_unbiased_from_the_first_point_and_keeps_gaps():
    x, y = line([5.0] * 10 + [np.nan] + [5.0] * 10)
    _, smooth = ema(x, y, 0.9)
    assert np.allclose(smooth[np.isfinite(y)], 5.0)
    assert np.isnan(smooth[10])


def test_smoothing_leaves_a_curve_of_few_epochs_nearly_as_it_is():
    x, y = line(np.linspace(0, 1, 40))
    _, smooth = ema(x, y, 0.9)
    assert np.abs(smooth - y).max() < 0.01


def test_smoothing_a_million_points_follows_their_mean():
    rng = np.random.default_rng(2)
    x, y = line(3 + rng.normal(size=1_000_000))
    smooth_x, smooth = ema(x, y, 0.97)
    assert len(smooth_x) == len(smooth) <= 4096
    assert np.abs(smooth - 3).max() < 0.5


def test_the_range_leaves_out_gaps_and_is_never_empty():
    low, high = data_range([line([1, np.nan, 3])], 0, 3, False)
    assert low < 1 and 3 < high < 4
    assert data_range([line([2, 2])], 0, 1, False)[0] < 2
    assert data_range([], 0, 1, True) == (0.1, 1.0)
    assert data_range([line([-1, 0])], 0, 1, True) == (0.1, 1.0)


@pytest.mark.parametrize(
    ("low", "high", "most", "wanted"),
    [(0, 4123, 5, [0, 1000, 2000, 3000, 4000]), (0.61, 0.98, 4, [0.7, 0.8, 0.9]), (5, 5, 4, []), (0, 1, 0, [])],
)
def test_linear_ticks_are_round(low, high, most, wanted):
    assert ticks.linear_ticks(low, high, most) == pytest.approx(wanted)


def test_log_ticks_are_powers_of_ten_where_the_range_is_wide():
    assert ticks.log_ticks(1e-4, 1e2, 8) == pytest.approx([1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100])
    assert len(ticks.log_ticks(2.1, 2.9, 4)) >= 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.8816, "0.882"),
        (12, "12"),
        (1500, "1.5k"),
        (1_234_567, "1.23M"),
        (3.1e-5, "3e-05"),
        (float("nan"), "–"),
    ],
)
def test_numbers_are_short(value, text):
    assert ticks.short(value) == text


def test_durations_and_percents_are_short():
    assert [ticks.clock(s) for s in (42, 185, 3750, 400_000)] == ["42s", "3:05", "1:02:30", "4d 15h"]
    assert ticks.percent(0.8823) == "88.2"
    assert ticks.percent(0.88, 0.02) == "88"


def text_of(grid):
    return "\n".join("".join(row) for row in grid.chars)


def test_every_line_has_its_own_marker_in_the_legend_and_in_the_plot():
    lines = [Line(f"run {n}", *line(np.linspace(n, n + 1, 50)), n) for n in range(4)]
    grid, _ = compose(lines, 80, 20, ChartStyle())
    legend, *plot = text_of(grid).split("\n")
    for n in range(4):
        assert MARKERS[n] in legend
        assert MARKERS[n] in "\n".join(plot)
        assert (grid.styles == FIRST_LINE + 2 * n).any()


def test_the_cursor_reads_out_every_line():
    lines = [Line("ce", *line(np.full(101, 0.25))), Line("triplet", *line(np.full(101, 4.0)), 1)]
    grid, _ = compose(lines, 80, 12, ChartStyle(cursor=42.0))
    legend = text_of(grid).split("\n")[0]
    assert "step 42" in legend
    assert "ce 0.25" in legend
    assert "triplet 4" in legend


def test_where_the_names_do_not_fit_they_are_cut_and_kept():
    lines = [Line("within", *line([0.31] * 3)), Line("between identities", *line([1.2] * 3), slot=1)]
    grid, _ = compose(lines, 36, 9, ChartStyle(cursor=1.0, x_name="epoch"))
    assert text_of(grid).split("\n")[0].rstrip() == f"epoch 1  {MARKERS[0]} within 0.31  {MARKERS[1]} be…ies 1.2"


def test_a_legend_takes_more_rows_where_there_is_height():
    lines = [Line(f"combination {n}", *line([0, 1]), n) for n in range(6)]
    grid, frame = compose(lines, 50, 15, ChartStyle())
    assert frame.top == 2
    legend = "\n".join(text_of(grid).split("\n")[:2])
    assert all(f"{MARKERS[n]} comb" in legend and f"n {n}" in legend for n in range(6))


def test_a_legend_that_does_not_fit_says_how_many_more_there_are():
    lines = [Line(f"combination {n}", *line([0, 1]), n) for n in range(9)]
    grid, _ = compose(lines, 30, 9, ChartStyle())
    assert text_of(grid).split("\n")[0].rstrip().endswith("+6")


def test_the_cursor_reads_the_point_that_is_nearest_in_each_chart():
    validation = Line("mAP", *line([0.5, 0.9, 0.6], x=[30, 60, 90]))
    grid, _ = compose([validation], 80, 12, ChartStyle(cursor=83.7, x_name="epoch"))
    assert text_of(grid).split("\n")[0].startswith("epoch 90  ")
    assert best_point(validation, 1) == 60
    assert best_point(validation, -1) == 30
    assert best_point(Line("nothing", *line([np.nan, np.nan])), 1) is None
    assert best_point(Line("a tie", *line([0.9, 0.9, 0.1])), 1) == 1.0


def test_zooming_fits_the_y_axis_to_what_is_in_sight():
    y = np.r_[np.full(50, 1000.0), np.linspace(1, 2, 51)]
    _, frame = compose([Line("loss", *line(y))], 60, 12, ChartStyle(window=(60.0, 100.0)))
    assert frame.view.y1 < 3


def test_the_value_at_the_cursor_is_that_of_the_nearest_point():
    points = Line("a", *line([1, 2, 3], x=[0, 10, 20]))
    assert [value_at(points, x) for x in (-5, 4, 6, 100)] == [1, 1, 2, 3]
    assert np.isnan(value_at(Line("b", *line([])), 1.0))


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30), max_size=4),
    st.integers(0, 60),
    st.integers(0, 20),
    st.booleans(),
    st.sampled_from([0.0, 0.9]),
    st.none() | st.floats(-10, 50),
)
def test_no_data_and_no_size_breaks_the_chart(values, width, height, log, smoothing, cursor):
    lines = [drawable(Line(str(n), *line(y), n)) for n, y in enumerate(values)]
    grid, _ = compose(lines, width, height, ChartStyle(log=log, smoothing=smoothing, cursor=cursor))
    assert grid.chars.shape == (height, width)
    assert (grid.styles < FIRST_LINE + 2 * max(1, len(lines))).all()
