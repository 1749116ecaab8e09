"""The noise that a policy plays: a Gaussian policy's in closed form, and what trained samplers of 8 steps play."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax.data.normaliser import Normaliser
from postbc_jax.policies import FAMILIES, Policy, PolicyConfig, build, draws, spread
from tests.policies.fitted import fit

ONES = np.ones(1, np.float32)
NORMALISER = Normaliser(-ONES, ONES, -3 * ONES, 3 * ONES)  # spreads are in normalised units, whatever its scale
OBS = jnp.linspace(-1, 1, 21)[:, None]


def test_a_gaussian_policys_spread_is_its_std():
    config = PolicyConfig('gaussian', 1, 2, chunk=3, hidden=(8,))
    params = build(config).init(jax.random.key(0))
    policy = Policy(params, NORMALISER, config)
    number = 2000
    found = spread(policy, OBS, jax.random.key(1), number)
    decode = lambda z: jax.vmap(lambda s: build(config).decode(params, s, jnp.full((3, 2), z)))(OBS)  # noqa: E731
    std = decode(1.0) - decode(0.0)
    assert found.shape == (21, 3, 2)
    assert np.abs(found / std - 1).max() < 5 / np.sqrt(2 * number)


def test_the_mean_square_is_unbiased_at_two_draws():
    """Over S states the sum of 126 S squares / std^2 of one degree of freedom: relative error sqrt(2 / (6 S))."""
    config = PolicyConfig('gaussian', 1, 2, chunk=3, hidden=(8,))
    sure = jax.tree.map(jnp.zeros_like, build(config).init(jax.random.key(0)))
    obs = jnp.zeros((3000, 1))
    found = spread(Policy(sure, NORMALISER, config), obs, jax.random.key(1), draws=2)
    std = config.min_std + np.log(2)  # softplus(0)
    np.testing.assert_allclose(np.mean(np.square(found)), std**2, rtol=4 * np.sqrt(2 / (6 * 3000)))


def test_rows_change_nothing_and_states_have_their_own_noise():
    config = PolicyConfig('flow', 1, 1, hidden=(8,))
    policy = Policy(build(config).init(jax.random.key(0)), NORMALISER, config)
    found = spread(policy, OBS, jax.random.key(1))
    np.testing.assert_allclose(spread(policy, OBS, jax.random.key(1), rows=4), found, rtol=1e-5)
    assert len(np.unique(spread(policy, jnp.ones((5, 1)), jax.random.key(1)))) == 5
    drawn = draws(policy, OBS, jax.random.key(1), 16)
    assert drawn.shape == (21, 16, 1, 1)
    np.testing.assert_allclose(drawn.std(axis=1, ddof=1), found, rtol=1e-5)


def test_one_draw_is_refused():
    config = PolicyConfig('flow', 1, 1, hidden=(8,))
    with pytest.raises(ValueError, match='draws=1: a spread needs at least 2'):
        spread(Policy({}, NORMALISER, config), OBS, jax.random.key(0), draws=1)


def played(name, seed, steps=1500):
    """Mean and std of what a small policy plays at OBS, fitted to N(.5 sin 3 obs, (.2 + .1 obs)^2): (21,), (21,)."""
    config = PolicyConfig(name, 1, 1, hidden=(64, 64), clip=None)
    family = build(config)

    def example(key):
        obs_key, noise_key = jax.random.split(key)
        obs = jax.random.uniform(obs_key, (1,), minval=-1.0, maxval=1.0)
        return obs, (0.5 * jnp.sin(3 * obs) + (0.2 + 0.1 * obs) * jax.random.normal(noise_key, (1,)))[None]

    def run(key):
        params = fit(family, example, key, steps)
        noise = jax.random.normal(jax.random.fold_in(key, 1), (200, 1, 1))
        chunks = jax.vmap(lambda s: jax.vmap(lambda z: family.decode(params, s, z))(noise))(OBS)  # (21, 200, 1, 1)
        return chunks.mean((1, 2, 3)), spread(Policy(params, NORMALISER, config), OBS, key, 200).ravel()

    return jax.tree.map(np.asarray, jax.jit(run)(jax.random.key(seed)))


@pytest.mark.parametrize('name', FAMILIES)
def test_a_trained_policy_plays_its_targets_mean_and_std(name):
    """Seeds tried: 6. Share of the targets' std .98 to 1.08, rms error of the mean at most .031, over all families."""
    mean, std = played(name, seed=0)
    obs = np.asarray(OBS)[:, 0]
    for half in (obs < 0, obs > 0):
        share = np.sqrt(np.mean(std[half] ** 2) / np.mean((0.2 + 0.1 * obs[half]) ** 2))
        assert 0.9 < share < 1.1, share
    assert np.sqrt(np.mean((mean - 0.5 * np.sin(3 * obs)) ** 2)) < 0.05
