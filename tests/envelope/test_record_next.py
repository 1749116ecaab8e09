"""What to record next: the Gaussian posterior's own numbers, greedy picks that spread out, and diversity's extremes."""

import numpy as np
import pytest

from postbc_jax.envelope import diversity, record_next
from postbc_jax.posterior import gaussian


def test_one_more_demonstration_at_a_state_is_worth_what_the_posterior_says():
    """s^2 / n to s^2 / (n + 1) where it comes, nothing elsewhere."""
    variance, count, near = np.array([0.5, 0.1]), np.array([2.0, 10.0]), np.array([[1.0, 0.0], [0.0, 1.0]])
    first, second = record_next.plan(variance, count, near, 2)
    assert first.path == 0 and first.gain == pytest.approx((0.5 - 0.5 * 2 / 3) / 0.6)
    assert first.left == pytest.approx(1 - first.gain)
    assert second.path == 0  # 1/3 - 1/4 of .5 * 2 is still more than .1 - .1 * 10/11
    assert second.left == pytest.approx((0.5 * 2 / 4 + 0.1) / 0.6)


def test_the_fall_is_that_of_the_closed_form_posterior():
    prior, sigma = np.eye(1) * 1e6, np.eye(1) * 0.3
    sizes = [np.asarray(gaussian.posterior(np.zeros((n, 1)), sigma, prior)[1]).item() for n in (4, 5)]
    (pick,) = record_next.plan(np.array([sizes[0]]), np.array([4.0]), np.ones((1, 1)), 1)
    assert pick.left == pytest.approx(sizes[1] / sizes[0], rel=1e-4)


def test_picks_spread_out_over_what_is_unknown():
    states = np.array([[-1.0], [0.0], [1.0]])
    near = record_next.closeness(states, states, np.arange(3), width=0.1)
    np.testing.assert_allclose(near, np.eye(3), atol=1e-12)
    picks = record_next.plan(np.array([1.0, 1.1, 0.9]), np.ones(3), near, 3)
    assert [pick.path for pick in picks] == [1, 0, 2]
    np.testing.assert_allclose(record_next.worth(np.array([1.0, 1.1, 0.9]), np.ones(3), near)[1], 0.55 / 3)


def test_closeness_is_the_kernel_of_the_nearest_point_and_reach_the_usual_distance():
    paths, owner = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]]), np.array([0, 0, 1])
    near = record_next.closeness(np.array([[1.0, 0.5]]), paths, owner, width=0.5)
    np.testing.assert_allclose(near[:, 0], [np.exp(-0.5), np.exp(-0.5 * (1 + 6.25) / 0.25)])
    assert record_next.reach(paths, owner) == pytest.approx(3.0)  # of 3, sqrt(10) and 3
    with pytest.raises(ValueError, match='one demonstration'):
        record_next.reach(paths, np.zeros(3, int))


def test_what_cannot_be_planned_is_refused():
    with pytest.raises(ValueError, match='every variance is 0'):
        record_next.plan(np.zeros(2), np.ones(2), np.ones((1, 2)), 1)
    with pytest.raises(ValueError, match=r'near \(1, 3\)'):
        record_next.plan(np.ones(2), np.ones(2), np.ones((1, 3)), 1)


def test_copies_count_once_and_strangers_each():
    one = np.random.default_rng(0).normal(size=(1, diversity.POINTS, 3))
    assert diversity.vendi(np.repeat(one, 5, axis=0), 1.0) == pytest.approx(1.0)
    strangers = one + 100 * np.arange(5)[:, None, None]
    assert diversity.vendi(strangers, 1.0) == pytest.approx(5.0)
    # two of similarity s: eigenvalues (1 +- s) / 2
    apart = np.sqrt(2 * np.log(2)) / np.sqrt(3)
    values = np.array([0.75, 0.25])
    two = np.concatenate([one, one + apart])
    assert diversity.vendi(two, 1.0) == pytest.approx(np.exp(-(values * np.log(values)).sum()))


def test_added_demonstrations_bring_what_is_new_in_them():
    old = np.random.default_rng(1).normal(size=(4, diversity.POINTS, 2))
    again, other = np.concatenate([old, old[:2]]), np.concatenate([old, old[:2] + 5])
    assert diversity.compare(old, again).each < 0 < diversity.compare(old, other).each
    found = diversity.compare(old, other)
    assert found.after - found.before == pytest.approx(2 * found.each)
    with pytest.raises(ValueError, match='4 demonstrations before, 4 after'):
        diversity.compare(old, old)


def test_paths_are_compared_at_even_shares_of_their_length():
    obs = np.concatenate([np.linspace(0, 1, 7), np.linspace(0, 1, 31), [5.0]])[:, None]
    ways = diversity.paths(obs, np.repeat([0, 1, 2], [7, 31, 1]))
    np.testing.assert_allclose(ways[0], ways[1])
    np.testing.assert_allclose(ways[2], 5.0)
    assert ways.shape == (3, diversity.POINTS, 1)
