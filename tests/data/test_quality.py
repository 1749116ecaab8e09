"""Scores of demonstrations, by hand."""

import numpy as np
import pytest

from postbc_jax.data import quality

ALL = np.ones(15)


def sparse(demos):
    """Lengths 5, 3 and 7, a reward of 1 at the end."""
    rewards = np.zeros(15, np.float32)
    rewards[[4, 7, 14]] = 1
    return demos.replace(rewards=rewards)


def by_hand(returns):
    return np.repeat((returns - np.max(returns)) / np.std(returns), [5, 3, 7])


def test_sparse_returns_are_speed(demos):
    expected = by_hand(np.array([0.9**4, 0.9**2, 0.9**6]))
    np.testing.assert_allclose(quality.scores(sparse(demos), ALL, 'return', 0.9), expected, rtol=1e-5)
    zero = demos.replace(rewards=np.zeros(15, np.float32))
    np.testing.assert_allclose(quality.scores(zero, ALL, 'speed', 0.9), expected, rtol=1e-5)


def test_returns_are_discounted_from_each_start(demos):
    rewards = np.asarray(demos.rewards, np.float64)
    returns = [np.sum(0.9 ** np.arange(len(r)) * r) for r in (rewards[:5], rewards[5:8], rewards[8:])]
    np.testing.assert_allclose(quality.scores(demos, ALL, 'return', 0.9), by_hand(np.array(returns)), rtol=1e-5)


def test_only_what_the_mask_holds_counts(demos):
    mask = np.repeat([1.0, 0.0, 1.0], [5, 3, 7])
    found = quality.scores(sparse(demos), mask, 'return', 0.9)
    np.testing.assert_allclose(found, np.repeat([0.0, 0.0, -2.0], [5, 3, 7]), rtol=1e-5)  # two: a std to either side


def test_what_cannot_weigh_is_refused(demos):
    constant = demos.replace(rewards=np.zeros(15, np.float32))
    one = np.repeat([1.0, 0.0, 0.0], [5, 3, 7])
    cases = [
        (
            (constant, ALL, 'return', 0.9),
            r"measure='return': the 3 demonstrations all have 0, which .* or 'speed' where",
        ),
        ((sparse(demos), ALL, 'return', 1.0), "measure='return': the 3 demonstrations all have 1"),
        ((demos, one, 'speed', 0.9), "measure='speed': the 1 demonstrations all have 0.6561"),
        ((demos, ALL, 'length', 0.9), "measure='length': choose one of return, speed"),
        ((demos, ALL, 'return', 0.0), 'discount=0.0: must be above 0'),
        ((demos, ALL, 'speed', 1.0), 'discount=1.0: must be above 0 and at most 1, for speed below 1'),
    ]
    for arguments, says in cases:
        with pytest.raises(ValueError, match=says) as refusal:
            quality.scores(*arguments)
        assert '\n' not in str(refusal.value)
