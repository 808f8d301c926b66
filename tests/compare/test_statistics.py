"""What the statistics of a comparison promise, checked against independent computations."""

from __future__ import annotations

import itertools
from dataclasses import asdict

import numpy as np
import pytest
from scipy import stats

from handreid_tui.compare.resampling import bootstrap, sign_flip, sign_flips
from handreid_tui.compare.statistics import (
    differences_of_sums,
    half_widths,
    holm,
    paired_difference,
    seed_verdict,
    spread,
)


def sampled(seeds: int, trials: int, identities: int, gain: float = 0.0, seed: int = 0):
    """Sums of two models over the queries of each identity, and the numbers of queries."""
    random = np.random.default_rng(seed)
    counts = np.broadcast_to(random.integers(3, 20, size=identities).astype(float), (trials, identities))
    common = random.normal(0.6, 0.2, size=identities)
    values = common + random.normal(0, 0.1, size=(2, seeds, 1, identities))
    values = values + random.normal(0, 0.02, size=(2, seeds, trials, identities))
    values[0] += gain
    return values[0] * counts, values[1] * counts, counts


def test_the_estimate_is_the_difference_of_the_reported_means():
    a, b, counts = sampled(3, 4, 20)
    reported = [[(x[s, t].sum() / counts[t].sum()) for s in range(3) for t in range(4)] for x in (a, b)]
    assert paired_difference(a, b, counts).estimate == pytest.approx(np.mean(reported[0]) - np.mean(reported[1]))


def test_a_resample_is_the_statistic_of_the_identities_drawn():
    a, _, counts = sampled(1, 3, 7)
    drawn = np.random.default_rng(5).multinomial(7, [1 / 7] * 7, size=40)
    expected = []
    for weights in drawn:
        chosen = np.repeat(np.arange(7), weights)  # identities drawn, as often as drawn
        expected.append(np.mean([a[0, t, chosen].sum() / counts[t, chosen].sum() for t in range(3)]))
    assert bootstrap(a[0], counts, resamples=40, seed=5) == pytest.approx(np.array(expected))


def test_with_one_seed_and_equal_counts_the_interval_is_close_to_students():
    a, b, _ = sampled(1, 1, 60)
    counts = np.ones((1, 60))
    found = paired_difference(a, b, counts)
    values = (a - b)[0, 0]
    low, high = stats.t.interval(0.95, 59, loc=values.mean(), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.05 * (high - low))


def test_queries_of_one_identity_are_not_counted_as_independent():
    a, b, counts = sampled(1, 1, 40)
    few = paired_difference(a, b, counts)
    many = paired_difference(10 * a, 10 * b, 10 * counts)  # ten times the queries, the same identities
    assert (many.low, many.high) == pytest.approx((few.low, few.high))


def test_seeds_that_disagree_widen_the_interval():
    a, b, counts = sampled(3, 2, 40)
    shift = np.array([-0.1, 0.0, 0.1])[:, None, None] * counts
    calm, wild = paired_difference(a, b, counts), paired_difference(a + shift, b, counts)
    assert wild.estimate == pytest.approx(calm.estimate)
    assert wild.high - wild.low > 3 * (calm.high - calm.low)
    seed_error = 0.1 / np.sqrt(3)
    assert wild.high - wild.low == pytest.approx(2 * stats.t.ppf(0.975, 2) * seed_error, rel=0.25)


def test_seeds_that_agree_never_narrow_the_interval_below_that_of_the_identities():
    a, b, counts = sampled(1, 2, 40)
    one = paired_difference(a, b, counts)
    three = paired_difference(np.repeat(a, 3, axis=0), np.repeat(b, 3, axis=0), counts)
    assert (three.low, three.high) == pytest.approx((one.low, one.high))


def test_one_untrained_run_is_paired_with_every_seed():
    a, b, counts = sampled(3, 2, 30)
    alone = paired_difference(a, b[:1], counts)
    repeated = paired_difference(a, np.repeat(b[:1], 3, axis=0), counts)
    assert alone == repeated
    assert alone.seeds == 3


def test_a_clear_gain_is_seen_and_none_is_not():
    assert paired_difference(*sampled(3, 2, 40, gain=0.2)).p < 0.001
    assert paired_difference(*sampled(3, 2, 40)).p > 0.05


def test_identical_runs_differ_by_exactly_nothing():
    a, _, counts = sampled(1, 2, 30)
    found = paired_difference(a, a, counts)
    assert (found.estimate, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_one_identity_gives_no_interval_and_no_claim():
    a, b, counts = sampled(2, 2, 1)
    found = paired_difference(a, b, counts)
    assert np.isnan(found.low) and np.isnan(found.high)
    assert found.p == 1


def test_an_identity_whose_queries_have_no_match_in_a_trial_is_allowed():
    a, b, counts = (x.copy() for x in sampled(1, 3, 12))
    a[:, 1, 4] = b[:, 1, 4] = counts[1, 4] = 0
    found = paired_difference(a, b, counts)
    assert np.isfinite([found.estimate, found.low, found.high]).all()


@pytest.mark.parametrize("seeds", [1, 2, 3, 7])
@pytest.mark.parametrize("equal_counts", [True, False])
def test_many_differences_at_once_are_each_as_it_is_alone(seeds, equal_counts):
    _, b, counts = sampled(seeds, 4, 15)
    if not equal_counts:  # and an identity that is not searched in one trial
        counts = np.random.default_rng(1).integers(1, 20, size=(4, 15)).astype(float)
        counts[2, 3] = 0
        b = b * (counts > 0)
    rng = np.random.default_rng(2)
    models = [b + rng.normal(0.3, 1, size=b.shape) * (counts > 0) for _ in range(80)]
    together = differences_of_sums((a - b for a in models), counts, resamples=500)
    for a, found in zip(models, together, strict=True):
        alone = paired_difference(a, b, counts, resamples=500)
        numbers = [{key: value for key, value in asdict(one).items() if value is not None} for one in (found, alone)]
        assert numbers[0] == pytest.approx(numbers[1], rel=1e-9)


def test_p_is_the_level_at_which_the_interval_touches_zero():
    found = paired_difference(*sampled(1, 3, 20, gain=0.04), resamples=2000)
    error = (found.high - found.low) / 2 / stats.t.ppf(0.975, 19)
    expected = 2 * stats.t.sf(abs(found.estimate) / error, 19)
    assert found.p == pytest.approx(max(expected, found.p_identities))
    assert half_widths([(np.array([error]), 19)], expected) == pytest.approx(abs(found.estimate))


@pytest.mark.parametrize("n", [5, 13, 14, 40])
def test_sign_flips_of_many_rows_are_those_of_each(n):
    values = np.random.default_rng(n).normal(0.3, 1, size=(400, n))
    assert sign_flips(values, 700).tolist() == [sign_flip(row, 700) for row in values]


def test_differences_that_cancel_are_no_evidence_whatever_the_rounding():
    assert sign_flip(np.array([0.1, 0.2, -0.3, 0.7, -0.7])) == 1


@pytest.mark.parametrize("n", [3, 6, 10])
def test_the_sign_flip_test_is_exact_for_few_values(n):
    values = np.random.default_rng(n).normal(0.5, 1, size=n)
    flips = [abs(np.dot(signs, values)) for signs in itertools.product([1, -1], repeat=n)]
    assert sign_flip(values) == np.mean([flip >= abs(values.sum()) - 1e-9 for flip in flips])


def test_the_smallest_p_over_seeds_is_what_the_words_say():
    assert sign_flip(np.array([1.0, 2.0, 3.0])) == 0.25
    assert sign_flip(np.arange(1.0, 7.0)) == 2 / 64
    assert "smallest p is 0.25" in seed_verdict(3)
    assert "cannot reach a verdict" in seed_verdict(5)
    assert "0.0312" in seed_verdict(6)


def test_the_random_sign_flip_test_agrees_with_scipys():
    values = np.random.default_rng(3).normal(0.25, 1, size=40)
    other = stats.permutation_test(
        (values,), np.sum, permutation_type="samples", n_resamples=20_000, random_state=np.random.default_rng(0)
    )  # `rng` from scipy 1.15 on
    assert sign_flip(values, resamples=20_000) == pytest.approx(other.pvalue, abs=0.01)


def test_a_verdict_over_seeds_is_given_from_six_on():
    assert paired_difference(*sampled(5, 2, 20)).p_seeds is None
    assert paired_difference(*sampled(6, 2, 20, gain=0.3)).p_seeds == 2 / 64


def test_holm_is_as_in_the_paper():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_spread_is_the_sample_standard_deviation():
    assert spread([1.0, 2.0, 4.0]).std == pytest.approx(np.std([1, 2, 4], ddof=1))
    assert spread([1.0]).std is None


def test_a_nearly_constant_truth_is_covered_as_often_as_promised():
    """The long measurement is benchmarks/coverage.py; this guards against gross mistakes."""
    covered = 0
    for seed in range(300):
        found = paired_difference(*sampled(3, 2, 24, gain=0.1, seed=seed), resamples=500)
        covered += found.low <= 0.1 <= found.high
    assert 0.91 <= covered / 300 <= 0.99
