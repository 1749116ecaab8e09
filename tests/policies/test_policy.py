"""Policy: its family between the normaliser's two ends, in the environment's units."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax.data.normaliser import Normaliser
from postbc_jax.policies import Policy, PolicyConfig, build

CONFIG = PolicyConfig('flow', 2, 2, chunk=3, hidden=(16,), inference_steps=4)
NORMALISER = Normaliser(
    obs_low=jnp.array([0.0, -2.0]),
    obs_high=jnp.array([4.0, 2.0]),
    action_low=jnp.array([-1.0, 5.0]),
    action_high=jnp.array([1.0, 15.0]),
)


@pytest.fixture(scope='module')
def policy():
    return Policy(build(CONFIG).init(jax.random.key(0)), NORMALISER, CONFIG)


def test_decode_normalises_observations_and_returns_action_units(policy):
    noise = jax.random.normal(jax.random.key(1), (3, 2))
    inner = build(CONFIG).decode(policy.params, jnp.array([0.5, -0.25]), noise)
    chunk = policy.decode(jnp.array([3.0, -0.5]), noise)
    np.testing.assert_allclose(chunk, inner * np.array([1.0, 5.0]) + np.array([0.0, 10.0]), rtol=1e-5)


def test_call_decodes_fresh_noise_and_says_which(policy):
    obs = jnp.array([3.0, -0.5])
    chunk, extras = policy(obs, jax.random.key(2))
    np.testing.assert_array_equal(chunk, policy.decode(obs, extras['noise']))
    assert extras['noise'].shape == (3, 2)
    assert not np.array_equal(policy(obs, jax.random.key(3))[1]['noise'], extras['noise'])


def test_noise_is_standard_normal(policy):
    keys = jax.random.split(jax.random.key(4), 2000)
    noise = jax.vmap(lambda key: policy(jnp.zeros(2), key)[1]['noise'])(keys)
    np.testing.assert_allclose([noise.mean(), noise.std()], [0, 1], atol=4 / np.sqrt(noise.size))


def test_stacks_of_policies_are_mapped_like_single_ones(policy):
    other = policy.replace(params=build(CONFIG).init(jax.random.key(9)))
    stack = jax.tree.map(lambda *x: jnp.stack(x), policy, other)
    obs, noise = jnp.array([3.0, -0.5]), jnp.ones((3, 2))
    chunks = jax.jit(jax.vmap(lambda p: p.decode(obs, noise)))(stack)
    np.testing.assert_allclose(chunks[1], other.decode(obs, noise), rtol=1e-5)
    assert stack.config == CONFIG and not np.allclose(chunks[0], chunks[1])
