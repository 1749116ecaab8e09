import numpy as np
import pytest

from postbc_jax.envelope import conformal
from postbc_jax.envelope.envelope import length


def test_the_quantile_by_hand():
    scores = np.array([5, 1, 9, 3, 7, 2, 8, 4, 6.0])  # n = 9: ranks are of 10
    assert conformal.quantile(scores, 0.5) == 5
    assert conformal.quantile(scores, 0.2) == 8
    assert conformal.quantile(scores, 0.1) == 9  # 1 / (n + 1), the smallest rate that 9 scores support
    assert conformal.quantile(scores, 0.01) == 9
    assert conformal.supported(9) == 0.2  # of two tests
    for scores_, rate in ((scores[:0], 0.1), (scores, 0.0), (scores, 1.0)):
        with pytest.raises(ValueError, match=f'rate={rate}'):
            conformal.quantile(scores_, rate)


def test_a_further_score_is_flagged_at_the_rate():
    """Whatever the scores' distribution: heavy tails here, 39 of them, 4000 times."""
    draws = np.random.default_rng(0).standard_cauchy((4000, 40))
    flagged = np.mean([own[-1] > conformal.quantile(own[:-1], 0.1) for own in draws])
    assert flagged == pytest.approx(0.1, abs=0.015)


def test_contexts_have_bounds_of_their_own_and_each_test_half_of_the_rate():
    scores = np.arange(1, 20.0)
    context = np.array([0] * 9 + [1] * 10)
    np.testing.assert_array_equal(conformal.bounds(scores, context, (0.4, 0.4), ('a', 'b')), [8, 18])
    with pytest.raises(ValueError, match="context 'b': no demonstrated step lies in it"):
        conformal.bounds(scores, context * 0, (0.2, 0.2), ('a', 'b'))


def residuals(n, seed=0):
    """Chunks (n, 4, 1) whose entries are all nearly the same number, twice as large as the guide says."""
    rng = np.random.default_rng(seed)
    return 2 * (0.99 * rng.normal(size=(n, 1)) + np.sqrt(1 - 0.99**2) * rng.normal(size=(n, 4)))


def test_the_whitener_makes_held_out_residuals_white():
    z = residuals(200_000)
    w = conformal.whitener(z, 4)
    np.testing.assert_array_equal(np.triu(w, 1), 0)
    np.testing.assert_allclose(w @ (z.T @ z / len(z)) @ w.T, np.eye(4), atol=0.02)
    mean_square = np.mean([length(w, one) ** 2 for one in z[:500].astype(np.float32).reshape(500, 4, 1)])
    assert mean_square == pytest.approx(1, abs=0.1)


def test_a_jerk_is_further_away_than_a_shift_of_the_same_size():
    w = conformal.whitener(residuals(2000), 4)
    shift, jerk = np.ones((4, 1), np.float32), np.array([1, -1, 1, -1], np.float32)[:, None]
    assert length(w, jerk) > 4 * length(w, shift)


def test_few_residuals_are_shrunk_and_constant_entries_are_bounded():
    few, many = (conformal.whitener(residuals(n), 4) for n in (8, 20_000))
    assert np.abs(few - np.diag(np.diag(few))).sum() < np.abs(many - np.diag(np.diag(many))).sum() / 2
    nothing = conformal.whitener(np.zeros((50, 4)), 4)
    np.testing.assert_allclose(nothing, np.eye(4) / np.sqrt(conformal.MIN_MOMENT))


def test_states_are_thinned_evenly_and_constant_dimensions_are_floored():
    assert conformal.thinned(np.arange(100), 4).tolist() == [0, 33, 66, 99]
    assert conformal.thinned(np.arange(3), 4).tolist() == [0, 1, 2]
    np.testing.assert_allclose(conformal.spread(np.array([[0, 5.0], [2, 5.0]])), [1, conformal.MIN_SPREAD])
