"""stats: against scipy, closed cases, and simulation of what the intervals promise."""

import itertools

import numpy as np
import pytest
from scipy import stats as scipy_stats

from postbc_jax import stats


@pytest.mark.parametrize(('successes', 'trials'), [(0, 10), (3, 10), (10, 10), (157, 200)])
def test_wilson_is_scipys(successes, trials):
    expected = scipy_stats.binomtest(successes, trials).proportion_ci(0.9, method='wilson')
    found = stats.wilson(successes, trials, level=0.9)
    np.testing.assert_allclose(found, (successes / trials, expected.low, expected.high), atol=1e-12)


def test_wilson_refuses_impossible_counts():
    for successes, trials in ((5, 4), (-1, 4), (0, 0)):
        with pytest.raises(ValueError, match=f'{successes} successes of {trials}'):
            stats.wilson(successes, trials)


def test_mean_interval_is_scipys_t():
    values = [0.31, 0.42, 0.25, 0.5]
    result = scipy_stats.ttest_1samp(values, 0).confidence_interval(0.9)
    np.testing.assert_allclose(stats.mean_interval(values, 0.9), (np.mean(values), result.low, result.high))


def test_mean_interval_by_hand():
    # mean 2, standard deviation 1, n = 3: half-width 4.3027 / sqrt(3)
    np.testing.assert_allclose(stats.mean_interval([1, 2, 3]), (2, 2 - 2.48414, 2 + 2.48414), atol=1e-5)


def test_one_seed_has_no_interval():
    value, low, high = stats.mean_interval([0.4])
    assert value == 0.4 and np.isnan(low) and np.isnan(high)


def test_paired_difference_is_scipys_paired_t():
    rng = np.random.default_rng(0)
    x, y = rng.random(6), rng.random(6)
    result = scipy_stats.ttest_rel(x, y).confidence_interval(0.95)
    np.testing.assert_allclose(stats.paired_difference(x, y), ((x - y).mean(), result.low, result.high))


def test_pairing_removes_what_the_seeds_share():
    shared = np.array([0.1, 0.5, 0.9])
    x = shared + 0.2 + np.array([0.01, 0.0, -0.01])
    paired = stats.paired_difference(x, shared)
    assert 0.1 < paired.low < 0.2 < paired.high < 0.3


def test_paired_bootstrap_is_scipys_percentile():
    rng = np.random.default_rng(1)
    x, y = rng.random(20), rng.random(20)
    expected = scipy_stats.bootstrap((x - y,), np.mean, method='percentile', rng=2, n_resamples=9999)
    found = stats.paired_difference(x, y, method='bootstrap')
    np.testing.assert_allclose(found[1:], expected.confidence_interval, atol=0.015)


def test_t_keeps_its_promise_with_three_seeds_and_the_bootstrap_does_not():
    rng = np.random.default_rng(0)
    index = np.array(list(itertools.product(range(3), repeat=3)))
    covered = {'t': 0, 'bootstrap': 0}
    for sample in rng.standard_normal((2000, 3)):
        _, low, high = stats.mean_interval(sample)
        covered['t'] += low <= 0 <= high
        low, high = np.quantile(sample[index].mean(1), [0.025, 0.975])  # all 27 resamples: the exact bootstrap
        covered['bootstrap'] += low <= 0 <= high
    assert 0.93 < covered['t'] / 2000 < 0.97
    assert covered['bootstrap'] / 2000 < 0.8


def test_iqm_is_the_mean_of_the_middle_half():
    assert stats.iqm([[0, 100], [4, 6]]) == 5
    scores = np.random.default_rng(0).random((8, 5))
    ordered = np.sort(scores.ravel())
    assert stats.iqm(scores) == pytest.approx(ordered[10:30].mean())


def test_bootstrap_resamples_seeds_within_tasks():
    scores = np.array([[1.0, 10.0, 100.0], [2.0, 20.0, 200.0]])
    seen = set()

    def record(resample):
        assert all(set(resample[:, task]) <= set(scores[:, task]) for task in range(3))
        seen.add(tuple(resample.ravel()))
        return resample.mean()

    interval = stats.stratified_bootstrap(record, scores, resamples=500)
    assert interval.value == scores.mean()
    assert len(seen) == 4**3  # every task is resampled on its own: 4 draws of 2 seeds each


def test_bootstrap_is_seeded_and_narrows_with_seeds():
    rng = np.random.default_rng(0)
    few, many = rng.random((5, 4)), rng.random((80, 4))
    first = stats.stratified_bootstrap(stats.iqm, few, resamples=300)
    assert first == stats.stratified_bootstrap(stats.iqm, few, resamples=300)
    wide = stats.stratified_bootstrap(stats.iqm, many, resamples=300)
    assert first.low <= first.value <= first.high
    assert wide.high - wide.low < 0.5 * (first.high - first.low)


def test_probability_of_improvement_is_mann_whitneys():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, 9), rng.integers(0, 6, 7)
    u = scipy_stats.mannwhitneyu(x, y).statistic
    assert stats.probability_of_improvement(x, y).value == pytest.approx(u / 63)
    two = stats.probability_of_improvement(np.stack([x, x], 1), np.stack([y, y], 1), method='bootstrap')
    assert two.value == pytest.approx(u / 63)


def test_score_interval_of_one_run_each_is_wilsons():
    # n = m = 1: the variance is theta (1 - theta), that of one binomial trial
    np.testing.assert_allclose(stats.probability_of_improvement([1.0], [0.0]), stats.wilson(1, 1), atol=1e-9)


def test_score_interval_mirrors_and_stays_wide_where_the_bootstrap_collapses():
    x, y = [0.6, 0.7, 0.8], [0.1, 0.2, 0.3]
    ahead, behind = stats.probability_of_improvement(x, y), stats.probability_of_improvement(y, x)
    np.testing.assert_allclose(ahead, [1 - behind.value, 1 - behind.high, 1 - behind.low], atol=1e-9)
    assert ahead.value == ahead.high == 1 and 0.4 < ahead.low < 0.7
    assert stats.probability_of_improvement(x, y, method='bootstrap') == (1, 1, 1)


def test_score_interval_covers():
    rng = np.random.default_rng(0)
    shift = 0.6
    truth = scipy_stats.norm.cdf(shift / np.sqrt(2))
    covered = 0
    for _ in range(800):
        _, low, high = stats.probability_of_improvement(rng.normal(shift, 1, 5), rng.normal(0, 1, 5))
        covered += low <= truth <= high
    assert 0.92 < covered / 800 <= 0.99


def test_area_under_curve_by_hand():
    # over [0, 10]: mean .5, over [10, 40]: mean .75; (5 + 22.5) / 40
    np.testing.assert_allclose(stats.area_under_curve([0, 10, 40], [[0.0, 1.0, 0.5], [0.3, 0.3, 0.3]]), [0.6875, 0.3])


def test_steps_to_threshold_counts_who_reached_it():
    curves = [[0.1, 0.6, 0.4], [0.1, 0.2, 0.5], [0.1, 0.2, 0.3]]
    steps, reached = stats.steps_to_threshold([0, 10, 20], curves, 0.5)
    np.testing.assert_array_equal(steps, [10, 20, np.inf])
    assert reached == 2


def test_pass_at_n_is_the_share_of_subsets_that_hold_a_success():
    for c, n, attempts in itertools.product(range(7), [6], range(1, 7)):
        outcomes = np.arange(n) < c
        expected = np.mean([outcomes[list(s)].any() for s in itertools.combinations(range(n), attempts)])
        assert stats.pass_at_n(c, n, attempts) == pytest.approx(expected, abs=1e-12)


def test_pass_at_n_is_unbiased():
    rng = np.random.default_rng(0)
    counts = rng.binomial(20, 0.1, size=20_000)
    assert stats.pass_at_n(counts, 20, 4).mean() == pytest.approx(1 - 0.9**4, abs=0.005)


def test_pass_at_n_exact_at_the_ends_and_large():
    np.testing.assert_array_equal(stats.pass_at_n([0, 2000], 2000, 64), [0.0, 1.0])
    np.testing.assert_allclose(stats.pass_at_n(1, 2000, 64), 64 / 2000)


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: stats.pass_at_n([1], 4, 5), 'N=5 attempts from 4 rollouts'),
        (lambda: stats.pass_at_n([5], 4, 2), 'counts from 5 to 5 of 4'),
        (lambda: stats.mean_interval([0.1, np.nan]), '1 of 2 values not finite'),
        (lambda: stats.mean_interval([]), 'mean_interval'),
        (lambda: stats.paired_difference([1, 2], [1]), '2 values against 1'),
        (lambda: stats.paired_difference([1], [1], method='z'), "method='z'"),
        (lambda: stats.probability_of_improvement(np.zeros((2, 2)), np.ones((2, 2))), "use 'bootstrap'"),
        (lambda: stats.probability_of_improvement(np.zeros((2, 2)), np.ones((2, 3))), 'equal tasks'),
        (lambda: stats.stratified_bootstrap(np.mean, [1.0, 2.0]), r'shape \(2,\)'),
        (lambda: stats.area_under_curve([0, 0], [1, 1]), 'increasing'),
        (lambda: stats.wilson(1, 2, level=95), 'level=95'),
    ],
)
def test_bad_input_is_one_line_with_the_numbers(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert '\n' not in str(error.value)


def test_quantile_interval_by_hand():
    # of 1..100 the number of values up to the 5% quantile is Bin(100, .05): 2.5% is below 1, and 97.5% at 10
    low, high = scipy_stats.binom.ppf([0.025, 0.975], 100, 0.05)
    assert (low, high) == (1, 10)
    values = np.random.default_rng(0).permutation(np.arange(1, 101))
    assert stats.quantile_interval(values, 0.05) == (5, 1, 11)
    assert np.isnan(stats.quantile_interval(values[:50], 0.05).low)


@pytest.mark.parametrize('draw', [lambda rng, n: rng.exponential(size=n), lambda rng, n: rng.binomial(3, 0.4, n)])
def test_quantile_interval_holds_the_quantile_as_often_as_it_says(draw):
    rng = np.random.default_rng(0)
    truth = np.quantile(draw(rng, 10**6), 0.3, method='inverted_cdf')
    intervals = [stats.quantile_interval(draw(rng, 60), 0.3, level=0.9) for _ in range(2000)]
    held = np.mean([found.low <= truth <= found.high for found in intervals])
    assert held > 0.9 - 3 * np.sqrt(0.9 * 0.1 / 2000)


def test_quantile_interval_refuses_what_has_no_quantile():
    with pytest.raises(ValueError, match='quantile=0'):
        stats.quantile_interval([1.0, 2.0], 0)
    with pytest.raises(ValueError, match='1 of 2 values not finite'):
        stats.quantile_interval([1.0, np.nan], 0.05)


def test_a_clustered_mean_of_clusters_of_one_size_is_their_means_t_interval():
    values = np.random.default_rng(0).normal(size=(6, 7)) + np.random.default_rng(1).normal(size=(6, 1))
    found = stats.clustered_mean(values.reshape(-1, 1), np.repeat(list('fbadce'), 7))
    np.testing.assert_allclose(np.squeeze(found), stats.mean_interval(values.mean(axis=1)))


def test_a_clustered_mean_by_hand():
    """Clusters of 2 and 1: mean 2, sums of what is apart from it -2 and 2; k / (k - 1) 8 / 9 is the variance."""
    found = stats.clustered_mean([0.0, 2.0, 4.0], [0, 0, 1])
    half = scipy_stats.t.ppf(0.975, 1) * np.sqrt(2 * 8) / 3
    np.testing.assert_allclose(found, (2, 2 - half, 2 + half))
    assert np.isnan(stats.clustered_mean([0.0, 2.0], [5, 5])[1:]).all()
    for weights in ([1, 1], [1, -1, 1], [0, 0, 0]):
        with pytest.raises(ValueError, match='for 3 rows, from -?[01]; give one of at least 0 a row, not all 0'):
            stats.clustered_mean(np.zeros(3), [0, 1, 2], weights=weights)
    with pytest.raises(ValueError, match='clustered_mean: 3 rows, 2 clusters; give every row its cluster'):
        stats.clustered_mean(np.zeros(3), [0, 1])
    with pytest.raises(ValueError, match='1 of 2 values not finite'):
        stats.clustered_mean([np.nan, 0.0], [0, 1])


def test_a_row_of_weight_two_is_two_rows():
    values = np.random.default_rng(2).normal(size=(5, 3))
    found = stats.clustered_mean(values, [0, 0, 1, 2, 2], weights=[1, 2, 1, 0, 3])
    rows = [0, 1, 1, 2, 4, 4, 4]
    np.testing.assert_allclose(found, stats.clustered_mean(values[rows], np.array([0, 0, 0, 1, 2, 2, 2])))
