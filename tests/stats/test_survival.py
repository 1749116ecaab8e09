"""stats.survival: by hand, against scipy's own estimator, and what weights mean."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from postbc_jax import stats

# Five runs: reached at 1, 2, 2 and 4; one followed to 3 and never there.
TIMES, REACHED = [2.0, 3.0, 1.0, 4.0, 2.0], [True, False, True, True, True]


def test_a_curve_by_hand():
    at, share = stats.kaplan_meier(TIMES, REACHED)
    np.testing.assert_array_equal(at, [1, 2, 2, 3, 4])
    # 4/5; after two of four, 2/5; the censored one loses nobody; the last of one
    np.testing.assert_allclose(share, [0.8, 0.6, 0.4, 0.4, 0.0], atol=1e-12)
    assert stats.median_time(TIMES, REACHED) == 2
    # 1 x 1, 1 x .8, 2 x .4
    assert stats.restricted_mean(TIMES, REACHED, 4.0) == pytest.approx(2.6)
    assert stats.restricted_mean(TIMES, REACHED, 1.5) == pytest.approx(1 + 0.5 * 0.8)


def test_runs_that_never_get_there_count_as_long_as_they_are_followed():
    never = [False] * 4
    assert stats.median_time([5, 5, 5, 5], never) == np.inf
    assert stats.restricted_mean([5, 5, 5, 5], never, 5.0) == 5
    assert stats.median_time([1, 5, 5], [True, False, False]) == np.inf
    assert stats.median_time([1, 5], [True, False]) == 1  # at most half have not
    # as dropping them would not: the mean of the one that did is 1
    assert stats.restricted_mean([1, 5, 5], [True, False, False], 5.0) == pytest.approx(11 / 3)


@pytest.mark.parametrize('seed', range(5))
def test_the_curve_is_scipys(seed):
    rng = np.random.default_rng(seed)
    times, reached = rng.integers(1, 9, 30).astype(float), rng.random(30) < 0.6
    sf = scipy_stats.ecdf(scipy_stats.CensoredData(uncensored=times[reached], right=times[~reached])).sf
    at, share = stats.kaplan_meier(times, reached)
    last = {time: left for time, left in zip(at, share, strict=True)}
    np.testing.assert_allclose([last[time] for time in sf.quantiles], sf.probabilities, atol=1e-12)
    fine = np.linspace(0, 8, 80_001)[:-1]
    assert stats.restricted_mean(times, reached, 8.0) == pytest.approx(8 * sf.evaluate(fine).mean(), abs=1e-3)


def test_weights_are_repetitions_and_lead_with_any_axes():
    weights = np.array([[2, 0, 1, 1, 3], [1, 1, 1, 1, 1]])
    repeated = np.repeat(np.arange(5), weights[0])
    times, reached = np.array(TIMES), np.array(REACHED)
    one = stats.restricted_mean(times[repeated], reached[repeated], 4.0)
    np.testing.assert_allclose(stats.restricted_mean(TIMES, REACHED, 4.0, weights), [one, 2.6])
    np.testing.assert_array_equal(
        stats.median_time(TIMES, REACHED, weights), [stats.median_time(times[repeated], reached[repeated]), 2]
    )


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: stats.kaplan_meier([1.0, 2.0], [True]), r'times \(2,\) from 1, reached \(1,\)'),
        (lambda: stats.kaplan_meier([-1.0], [True]), 'from -1'),
        (lambda: stats.kaplan_meier([np.inf], [False]), '1 of 1 values not finite'),
        (lambda: stats.restricted_mean([1.0, 2.0], [True, False], 3.0), 'horizon=3: the last run is followed to 2'),
        (lambda: stats.bootstrap(np.mean, [3, 0]), r'strata of \[3, 0\] units'),
        (lambda: stats.holm([0.1, 1.2]), 'from 0.1 to 1.2'),
        (lambda: stats.paired_p_value([1, 2], [1]), '2 values against 1'),
    ],
)
def test_bad_input_is_one_line_with_the_numbers(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert '\n' not in str(error.value)
