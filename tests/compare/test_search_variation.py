"""How much another search would find, against searches that are repeated."""

from __future__ import annotations

import numpy as np
import pytest

from handreid_tui.compare.search_variation import Noise, SearchError, joint_error, noise_of, search_error, stretch

TRIALS = 24


@pytest.mark.parametrize(("settings", "validation"), [(2.0, 0.0), (2.0, 1.0), (1.0, 1.0), (1.0, 2.0)])
def test_the_estimate_is_not_below_the_variation_of_repeated_searches(settings: float, validation: float) -> None:
    """settings, validation: standard deviations of the effects of the settings, and of the noise of a validation."""
    random = np.random.default_rng(0)
    effects = settings * random.normal(size=(2000, TRIALS))
    values = effects + validation * random.normal(size=effects.shape)
    chosen = effects[np.arange(len(effects)), values.argmax(axis=1)]
    repeats = [
        search_error(row, noise_of([validation * random.normal(size=(3, 3)) for _ in range(5)]))
        for row in values[:200].tolist()
    ]
    estimated = np.mean([error.std**2 for error in repeats if error])
    assert 1.0 < estimated / chosen.var() < 2.6


def test_few_trials_say_nothing_and_equal_ones_that_nothing_varies() -> None:
    assert search_error([0.7, 0.75, 0.8, 0.85, 0.86, 0.88, 0.9], Noise()) is None
    assert search_error([0.8] * 8, Noise()) == SearchError(0.0, 2)
    assert search_error(list(np.linspace(0.8, 0.9, 24)), Noise(1.0, 20)) == SearchError(0.0, 6)  # all of it is noise


def test_bad_settings_do_not_count() -> None:
    good = [0.85, 0.86, 0.87, 0.88, 0.9, 0.91]
    assert search_error([*[0.8] * 6, *good], Noise()) == search_error([*[0.0] * 6, *good], Noise())


def test_noise_is_what_settings_and_folds_do_not_explain() -> None:
    settings, folds = np.array([[0.1], [0.5], [0.2]]), np.array([[0.3, 0.1, 0.2]])
    assert noise_of([settings + folds]).variance == pytest.approx(0, abs=1e-30)
    rest = np.array([[1.0, -1.0], [-1.0, 1.0]])
    assert noise_of([rest, rest + 5]) == Noise(4.0, 2)
    assert noise_of([np.zeros((1, 3))]) == Noise()
    assert Noise(4.0, 2).lower_bound < 4.0
    assert Noise(4.0, 2000).lower_bound == pytest.approx(4.0, rel=0.06)


def test_two_searches_add_up() -> None:
    joint = joint_error([SearchError(3.0, 6), SearchError(4.0, 6)])
    assert joint.std == 5.0
    assert 6 < joint.freedom < 12
    assert joint_error([]).std == 0


def test_a_metric_that_differs_more_is_searched_less_surely() -> None:
    precision = np.random.default_rng(0).normal(size=20)
    assert stretch(2 * precision, precision) == pytest.approx(2)
    assert stretch(0.5 * precision, precision) == 1
    assert stretch(np.tile(precision, 4) / 4, precision) == 1  # more people, smaller shares
