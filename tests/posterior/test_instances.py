"""The instances' closed forms at 20,000 data sets: shares and means within 3 standard errors."""

import jax
import numpy as np
import pytest

from postbc_jax.posterior import data_sets, instances, tabular

DATASETS = 20_000
MADE = {
    'bandit': (instances.bandit(0.05), 8),
    'lower_bound': (instances.lower_bound(8, 0.04), 25),
    'two_branch': (instances.two_branch(0.05, 4, 0.1), 40),
    'chain': (instances.chain(rare=4, horizon=2, eps=0.2), 30),
    'resets': (instances.resets(states=5, horizon=3, actions=4, rare_share=1 / 21), 20),
}


def arms(instance, demonstrations):
    """BC, uniform mixing at some weight, PostBC by the theorem."""
    horizon, _, actions = instance.sizes
    return tabular.BC, tabular.uniform(0.1), tabular.theorem(actions, horizon, demonstrations)


@pytest.mark.parametrize('name', MADE)
def test_closed_forms(name):
    instance, demonstrations = MADE[name]
    counts = data_sets.sample(jax.random.key(0), instance, demonstrations, DATASETS)
    for settings in arms(instance, demonstrations):
        seen = data_sets.outcomes(instance, counts, settings, delta=0.1)
        missed, costs = np.asarray(seen.missed), np.asarray(seen.suboptimality, np.float64)
        chance = instance.miss_probability(demonstrations) if settings == tabular.BC else 0.0
        assert abs(missed.mean() - chance) <= 3 * np.sqrt(chance * (1 - chance) / DATASETS)
        expected = instance.suboptimality(settings, demonstrations)
        assert abs(costs.mean() - expected) <= 3 * costs.std() / np.sqrt(DATASETS) + 1e-6
        assert np.all(np.asarray(seen.coverage)[missed] == 0)
        assert np.mean(np.asarray(seen.above_bound) < 1) <= 0.1


def test_the_bandits_misses_by_hand():
    assert instances.bandit(0.05).miss_probability(3) == pytest.approx(0.8**3)
    assert all(instances.bandit(e).miss_probability(int(1 / (20 * e))) >= 0.5 for e in (1 / 80, 0.01, 0.001))


def test_the_chains_misses_are_those_of_its_smallest_one_by_hand():
    # one rare state of probability 1/2: of 2 demonstrations it has 0, 1 or 2; one visit misses an action, of two at one
    # step half do; over the two steps of H = 2: 1/2 + 1/4 (1 - 1/4)
    assert instances.chain(1, 2, 0.1).miss_probability(2) == pytest.approx(1 / 2 + 1 / 4 * 3 / 4)
    assert instances.chain(1, 1, 0.1).miss_probability(2) == pytest.approx(1 / 2 + 1 / 4 * 1 / 2)


def test_the_chains_largest_weight_is_where_the_cost_is_eps():
    for eps, horizon in ((0.01, 2), (0.02, 5)):
        weight = instances.chain_weight(eps, horizon)
        cost = instances.chain(6, horizon, eps).suboptimality(tabular.uniform(weight), 500)
        assert cost == pytest.approx(eps, rel=1e-6)
        assert 4 * eps / horizon < weight < 1.1 * 4 * eps / horizon < 32 * eps


def test_nobody_beats_the_lower_bounds_limit():
    # the policy that spends its whole allowance on the arms it has not seen reaches the limit, and so does no other
    actions, p, t, allowed = 8, 0.02, 50, 0.03
    certain = (1 - p) ** t
    limit = instances.lower_bound_limit(actions, p, t, allowed)
    assert limit == pytest.approx((p + allowed) / certain / (actions - 1) / p)
    cost = tabular.theorem(actions, 1, t)
    unseen = np.zeros((1, 1, actions), int)
    unseen[..., 0] = t
    policy = np.asarray(tabular.post_bc(unseen, *cost))
    suboptimality = instances.lower_bound(actions, p).suboptimality(cost, t)
    assert policy[0, 0, 1] / p <= instances.lower_bound_limit(actions, p, t, suboptimality)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: instances.bandit(0.2), r'eps=0.2: must lie above 0 and be at most 0.125'),
        (lambda: instances.lower_bound(1, 0.1), 'actions=1: must be at least 2'),
        (lambda: instances.chain(0, 2, 0.1), 'rare=0, horizon=2: must both be at least 1'),
        (lambda: instances.chain(3, 2, 0.3), r'eps=0.3: must lie above 0 and be at most 0.25'),
        (lambda: instances.two_branch(0.1, 4, 0.6), r'eps=0.6'),
        (lambda: instances.resets(2, 1, 2, 0.1), 'states=2, actions=2, horizon=1'),
        (lambda: instances.resets(4, 1, 2, 0.6), 'rare_share=0.6: must lie above 0 and be at most 0.5'),
    ],
)
def test_what_is_no_instance_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
