"""Finite MDPs: values against every trajectory enumerated, counts against the chances that they are drawn with."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax.posterior import data_sets, instances
from postbc_jax.posterior import mdp as mdps


def test_backward_induction_is_the_sum_over_all_trajectories():
    horizon, states, actions = 3, 2, 3
    made = instances.random(0, states, actions, horizon)
    mdp = jax.tree.map(np.asarray, made.mdp)
    policy = np.random.default_rng(1).dirichlet(np.ones(actions), (horizon, states))
    expected = 0.0
    for path in itertools.product(range(states), range(actions), repeat=horizon):
        s, a = path[0::2], path[1::2]
        chance = mdp.initial[s[0]] * np.prod([policy[h, s[h], a[h]] for h in range(horizon)])
        chance *= np.prod([mdp.transition[h, s[h], a[h], s[h + 1]] for h in range(horizon - 1)])
        expected += chance * sum(mdp.reward[h, s[h], a[h]] for h in range(horizon))
    np.testing.assert_allclose(mdps.value(made.mdp, jnp.asarray(policy)), expected, rtol=1e-5)


def test_counts_are_those_of_the_demonstrators_trajectories():
    made = instances.random(0, states=3, actions=2, horizon=3)
    datasets, demonstrations = 4000, 50
    counts = np.asarray(data_sets.sample(jax.random.key(0), made, demonstrations, datasets))
    assert np.all(counts.sum(axis=(2, 3)) == demonstrations)
    occupancy, mdp = np.asarray(made.mdp.initial), jax.tree.map(np.asarray, made.mdp)
    for h in range(3):  # forward: the chance of (s, a) at step h
        pair = occupancy[:, None] * np.asarray(made.demonstrator)[h]
        error = np.sqrt(demonstrations * pair * (1 - pair) / datasets)
        assert np.all(np.abs(counts[:, h].mean(axis=0) - demonstrations * pair) <= 4 * error + 1e-6)
        often = demonstrations * pair > 2  # a binomial's variance, where it can be estimated
        variance = demonstrations * pair * (1 - pair)
        np.testing.assert_allclose(counts[:, h].var(axis=0)[often], variance[often], rtol=0.12)
        occupancy = np.einsum('sa,sat->t', pair, mdp.transition[h])


def test_a_data_set_is_a_function_of_its_index():
    made = instances.bandit(0.05)
    few, many = (data_sets.sample(jax.random.key(0), made, 40, n) for n in (3, 5))
    np.testing.assert_array_equal(few, many[:3])
    assert np.any(many[3] != many[4])


def test_more_demonstrations_begin_with_the_same_ones():
    made = instances.random(0, states=3, actions=2, horizon=2)
    fewer, more = (np.asarray(data_sets.sample(jax.random.key(0), made, t, 20)) for t in (33, 70))
    assert np.all(more >= fewer)


def test_what_is_no_mdp_is_refused():
    with pytest.raises(ValueError, match=r'initial \(2,\), transition \(1, 1, 2, 1\), reward \(1, 1, 2\): must be'):
        mdps.make(np.ones(2) / 2, np.ones((1, 1, 2, 1)), np.ones((1, 1, 2)))
    with pytest.raises(ValueError, match='transition: the least entry is 0.5, rows sum to 0.5 to 0.5'):
        mdps.make(np.ones(1), np.full((1, 1, 2, 1), 0.5), np.ones((1, 1, 2)))
    made = instances.bandit(0.1)
    with pytest.raises(ValueError, match=r'policy \(1, 2, 3\): must be \(H, S, A\) = \(1, 1, 3\)'):
        mdps.value(made.mdp, jnp.ones((1, 2, 3)) / 3)
    with pytest.raises(ValueError, match='demonstrations=0'):
        data_sets.sample(jax.random.key(0), made, 0, 10)
