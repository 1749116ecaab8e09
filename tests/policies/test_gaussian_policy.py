"""The Gaussian family against scipy."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from postbc_jax.policies import PolicyConfig, build

FAMILY = build(PolicyConfig('gaussian', 3, 2, chunk=4, hidden=(16,), min_std=0.05))
PARAMS = FAMILY.init(jax.random.key(0))
OBS = jnp.array([0.2, -1.0, 0.5])


def moments():
    mean = FAMILY.decode(PARAMS, OBS, jnp.zeros((4, 2)))
    return mean, (FAMILY.decode(PARAMS, OBS, jnp.ones((4, 2))) - mean)


def test_loss_is_scipys_negative_log_density_per_entry():
    mean, std = moments()
    chunk = np.linspace(-1, 1, 8).reshape(4, 2)
    loss, metrics = FAMILY.loss(PARAMS, jax.random.key(1), OBS, jnp.asarray(chunk))
    np.testing.assert_allclose(loss, -stats.norm.logpdf(chunk, mean, std).mean(), rtol=1e-4)
    np.testing.assert_allclose(metrics['std'], std.mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics['squared_error'], np.square(mean - chunk).mean(), rtol=1e-5)


def test_decode_is_linear_in_noise_with_a_std_for_every_entry():
    mean, std = moments()
    assert std.shape == (4, 2) and np.unique(std).size == 8
    noise = jax.random.normal(jax.random.key(2), (4, 2))
    np.testing.assert_allclose(FAMILY.decode(PARAMS, OBS, noise), mean + std * noise, atol=1e-6)


def test_std_never_falls_below_its_floor():
    sure = jax.tree.map(jnp.copy, PARAMS)
    sure['params']['Dense_1']['bias'] = sure['params']['Dense_1']['bias'].at[8:].set(-100.0)
    _, std = FAMILY.transition(sure, OBS, jnp.zeros((4, 2)), 0)
    np.testing.assert_allclose(std, 0.05, rtol=1e-5)


def test_its_chain_is_one_transition_to_its_own_moments_from_anywhere():
    assert FAMILY.transitions == 1
    for x in (jnp.zeros((4, 2)), jnp.ones((4, 2))):
        for found, expected in zip(FAMILY.transition(PARAMS, OBS, x, 0), moments(), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5)
