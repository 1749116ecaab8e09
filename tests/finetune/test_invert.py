"""Inversion of decoders whose inverse is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax import policies
from postbc_jax.finetune import invert
from postbc_jax.finetune.decoding import decode
from tests import populations

ROWS, SIZE, BOUND = 12, 3, 1.5
GAIN = np.array([[1.0, 0.3, 0.0], [-0.2, 0.5, 0.1], [0.0, 0.4, 0.8]], np.float32)


def linear(obs, noise):
    return jnp.asarray(GAIN) @ noise + obs[:SIZE]


def diagonal(obs, noise):
    return 0.5 * noise + obs[:SIZE]


@pytest.fixture
def obs():
    return np.random.default_rng(0).uniform(-1, 1, (ROWS, 4)).astype(np.float32)


def test_finds_the_noise_of_a_linear_decoder(obs):
    noise = np.random.default_rng(1).uniform(-1.4, 1.4, (ROWS, SIZE)).astype(np.float32)
    found = invert.invert(linear, obs, jax.vmap(linear)(obs, noise), jax.random.key(0), BOUND)
    np.testing.assert_allclose(found.noise, noise, atol=1e-2)
    np.testing.assert_allclose(found.error, 0, atol=3e-3)


def test_noise_beyond_the_bound_gets_the_nearest_chunk(obs):
    noise = 3 * np.random.default_rng(1).uniform(-1, 1, (ROWS, SIZE)).astype(np.float32)
    found = invert.invert(diagonal, obs, jax.vmap(diagonal)(obs, noise), jax.random.key(0), BOUND)
    nearest = np.clip(noise, -BOUND, BOUND)
    np.testing.assert_allclose(found.noise, nearest, atol=1e-2)
    error = np.sqrt(np.mean((0.5 * (nearest - noise)) ** 2, axis=1))
    np.testing.assert_allclose(found.error, error, atol=2e-3)


def test_draws_alone_are_the_best_of_what_was_drawn(obs):
    """No steps: the argmin over N(0, I), clipped, by row keys."""
    chunk = np.zeros((ROWS, SIZE), np.float32)
    found = invert.invert(linear, obs, chunk, jax.random.key(3), BOUND, draws=5, steps=0, rows=5)
    for i in range(ROWS):
        drawn = np.clip(jax.random.normal(jax.random.fold_in(jax.random.key(3), i), (5, SIZE)), -BOUND, BOUND)
        errors = np.sqrt(np.mean((drawn @ GAIN.T + obs[i, :SIZE]) ** 2, axis=1))
        np.testing.assert_allclose(found.error[i], errors.min(), rtol=1e-5)
        np.testing.assert_array_equal(found.noise[i], drawn[errors.argmin()])


def test_more_steps_are_not_worse(obs):
    chunk = np.ones((ROWS, SIZE), np.float32)
    errors = [
        invert.invert(linear, obs, chunk, jax.random.key(0), BOUND, draws=2, steps=steps).error for steps in (0, 5, 50)
    ]
    assert (errors[1] <= errors[0]).all() and errors[2].mean() < errors[1].mean() < errors[0].mean()


def test_a_policys_own_chunks_are_made_again():
    """Decoded flat and normalised, by the family's own decoder."""
    policy = jax.tree.map(lambda x: x[0], populations.frozen_policies())
    obs = np.random.default_rng(0).uniform(-1, 1, (ROWS, 4)).astype(np.float32)
    noise = np.random.default_rng(1).uniform(-1, 1, (ROWS, 3)).astype(np.float32)
    chunk = jax.vmap(decode, in_axes=(None, 0, 0))(policy, obs, noise)
    family = policies.build(policy.config)
    np.testing.assert_allclose(
        chunk[0], family.decode(policy.params, obs[0], noise[0].reshape(3, 1)).ravel(), rtol=1e-5, atol=1e-6
    )
    found = invert.invert(lambda s, w: decode(policy, s, w), obs, chunk, jax.random.key(0), BOUND)
    assert (found.error <= invert.NEAR).all()


@pytest.mark.parametrize('change', [{'draws': 0}, {'steps': -1}, {'bound': 0.0}])
def test_refuses(obs, change):
    (name, value), *_ = change.items()
    with pytest.raises(ValueError, match=f'invert: {name}={value}'):
        invert.invert(linear, obs, obs[:, :SIZE], jax.random.key(0), **({'bound': BOUND} | change))
