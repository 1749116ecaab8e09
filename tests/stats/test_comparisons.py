"""Many comparisons, shares and units that are resampled together: by hand and against scipy."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from postbc_jax import stats


def test_holm_by_hand():
    # sorted .01 x 4, .02 x 3, .03 x 2, .04 x 1: none may be below the one before it
    np.testing.assert_allclose(stats.holm([0.03, 0.01, 0.04, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(stats.holm([0.6, 0.5]), [1.0, 1.0])
    assert stats.holm([0.04]) == [0.04]


def test_paired_p_is_scipys_and_equal_values_are_no_difference():
    rng = np.random.default_rng(0)
    x, y = rng.random(8), rng.random(8)
    assert stats.paired_p_value(x, y) == pytest.approx(scipy_stats.ttest_rel(x, y).pvalue)
    assert stats.paired_p_value([0.5, 0.5], [0.5, 0.5]) == 1
    assert np.isnan(stats.paired_p_value([0.5], [0.2]))


def test_a_difference_of_shares_is_newcombes_published_example():
    # Newcombe 1998, table II, method 10: 56/70 - 48/80 is .2 [.0524, .3339]; 10/10 - 0/10 is 1 [.6075, 1]
    found = stats.share_difference(stats.wilson(56, 70), stats.wilson(48, 80))
    np.testing.assert_allclose(found, (0.2, 0.0524, 0.3339), atol=5e-5)
    sure = stats.share_difference(stats.wilson(10, 10), stats.wilson(0, 10))
    np.testing.assert_allclose(sure, (1.0, 0.6075, 1.0), atol=5e-5)


def test_what_belongs_to_a_unit_is_resampled_with_it():
    scores = np.array([[[0.1, 0.2]], [[0.5, 0.6]], [[0.8, 0.9]]])  # 3 seeds, 1 task, 2 finetuning runs

    def record(resample):
        assert {tuple(runs) for runs in resample[:, 0]} <= {(0.1, 0.2), (0.5, 0.6), (0.8, 0.9)}
        return resample.mean()

    together = stats.stratified_bootstrap(record, scores, resamples=300)
    apart = stats.stratified_bootstrap(np.mean, scores.reshape(6, 1), resamples=300)
    assert together.value == pytest.approx(apart.value)
    assert together.high - together.low > 1.2 * (apart.high - apart.low)


def test_a_bootstrap_of_infinite_values_has_bounds():
    times = np.array([1.0, 2.0, np.inf, np.inf])
    found = stats.bootstrap(lambda drawn: float(np.sort(times[drawn[0]])[1]), [4], resamples=500)
    assert found.value == 2 and found.low == 1 and found.high == np.inf
