"""Flow against closed forms: the published solver, and the exact velocity of a Gaussian target."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax.policies import PolicyConfig, build, flow, sampler
from tests.policies.rolled import rolled

MEAN, STD = -0.3, 0.2  # of the Gaussian target


def exact_velocity(x, time, std=STD):
    """E[chunk - z | x_t] where chunks are N(MEAN, std^2) and x_t = t chunk + (1 - t) z."""
    slope = (time * std**2 - (1 - time)) / (time**2 * std**2 + (1 - time) ** 2)
    return MEAN + slope * (x - time * MEAN)


@pytest.mark.parametrize('n', [1, 2, 3, 8])
def test_decoding_is_dpm_solver_plus_plus_2m(n):
    """arXiv 2211.01095, Algorithm 2, in its own variables: lambda = log(alpha / sigma), alpha = t, sigma = 1 - t."""
    x = np.array([[0.8, -1.1]])
    steps = flow.schedule(n)
    decoded = sampler.deterministic(flow.clean_from_velocity(exact_velocity), jnp.asarray(x), steps)
    time = np.append(steps.time.astype(float), 1)
    with np.errstate(divide='ignore'):
        h = np.diff(np.log(time) - np.log(1 - time))
    predictions = []
    for i in range(n):
        predictions.append(x + (1 - time[i]) * exact_velocity(x, time[i]))
        clean = predictions[-1]
        if 0 < i < n - 1:  # the last step is of first order
            r = h[i - 1] / h[i]
            clean = (1 + 1 / (2 * r)) * clean - predictions[-2] / (2 * r)
        x = (1 - time[i + 1]) / (1 - time[i]) * x - time[i + 1] * np.expm1(-h[i]) * clean
    np.testing.assert_allclose(decoded, x, atol=1e-5)


@pytest.mark.parametrize('n, least, most', [(6, 0.87, 1.0), (8, 0.96, 1.03), (16, 0.99, 1.02)])
@pytest.mark.parametrize('std', [0.03, 0.06, 0.1, 0.2, 0.5, 1.0])
def test_few_steps_play_the_targets_mean_and_std(n, least, most, std):
    """Decoding a Gaussian target is linear in the noise: what -1 and 1 become says all. Euler plays .20 of .03."""
    clean = flow.clean_from_velocity(functools.partial(exact_velocity, std=std))
    low, high = (sampler.deterministic(clean, jnp.full((1, 1), z), flow.schedule(n)).item() for z in (-1.0, 1.0))
    np.testing.assert_allclose((low + high) / 2, MEAN, atol=1e-5)
    assert least <= (high - low) / 2 / std <= most


def test_times_rise_from_noise_to_the_chunk_and_are_even_in_log_snr():
    steps = flow.schedule(8)
    log_snr = np.log(steps.signal[1:] / steps.noise[1:])
    np.testing.assert_allclose(log_snr, -2 + 8 / 7 * (np.arange(7) + 0.5), rtol=1e-4)
    np.testing.assert_array_equal(steps.time, steps.signal)
    np.testing.assert_allclose(steps.trend, [0, 0, 0.5, 0.5, 0.5, 0.5, 0.5, 0], rtol=1e-4)
    assert steps.time[0] == 0 and steps.next_signal[-1] == 1 and steps.next_noise[-1] == 0


def test_the_exact_velocity_transports_noise_to_the_target():
    """The ODE of a Gaussian target maps z to MEAN + STD z."""
    noise = jnp.linspace(-2.5, 2.5, 11)[:, None, None]
    clean = flow.clean_from_velocity(exact_velocity)
    chunks = jax.vmap(lambda z: sampler.deterministic(clean, z, flow.schedule(500)))(noise)
    np.testing.assert_allclose(chunks, MEAN + STD * noise, atol=5e-3)


def test_the_chain_has_the_flows_marginals():
    steps = flow.schedule(200)
    clean = flow.clean_from_velocity(exact_velocity)
    keys = jax.random.split(jax.random.key(0), 8000)
    chunks = jax.vmap(lambda key: rolled(clean, (1, 1), steps, key)[0])(keys)
    np.testing.assert_allclose(chunks.mean(), MEAN, atol=4 * STD / np.sqrt(8000) + 1e-3)
    np.testing.assert_allclose(chunks.std(), STD, rtol=0.04)


def test_fresh_noise_of_straight_paths_by_hand():
    """Two even steps: from t = 0 all noise is new, (1 - 1/2); the last step ends without any."""
    even = lambda n: sampler.schedule(*(np.linspace(*ends, n + 1) for ends in ((0, 1), (0, 1), (1, 0))))  # noqa: E731
    np.testing.assert_allclose(sampler.ancestral_noise(even(2)), [[0, 0], [0.5, 0]], atol=1e-7)
    # From 1/3 to 2/3: r = (1/3 * 1/3) / (2/3 * 2/3) = 1/4, so that 1/3 splits into 1/12 and 1/3 sqrt(1 - 1/16).
    kept, fresh = sampler.ancestral_noise(even(3))
    np.testing.assert_allclose([kept[1], fresh[1]], [1 / 12, np.sqrt(15) / 12], rtol=1e-5)


def test_loss_of_a_network_that_says_zero_is_the_velocitys_second_moment():
    family = build(PolicyConfig('flow', 2, 3, chunk=2, hidden=(4,)))
    silent = jax.tree.map(jnp.zeros_like, family.init(jax.random.key(0)))
    keys = jax.random.split(jax.random.key(1), 4000)
    loss = jax.jit(jax.vmap(lambda key: family.loss(silent, key, jnp.ones(2), jnp.full((2, 3), 2.0))[0]))(keys)
    np.testing.assert_allclose(loss.mean(), 2.0**2 + 1.0, atol=0.12)  # 4 standard errors: sqrt((2 + 16) / 24000) = .027


def test_loss_shows_the_network_points_of_the_straight_path_at_the_time_it_names(monkeypatch):
    """A network that knows the chunk c says (c - x_t) / (1 - t) = c - z: its loss is 0, at every time drawn."""

    class Knowing:
        def apply(self, params, x, time, obs, dropout):
            return (params - x) / (1 - time)

    monkeypatch.setattr(flow.networks, 'DenoisingMLP', lambda *_: Knowing())
    family = flow.flow(PolicyConfig('flow', 2, 3, chunk=2))
    chunk = jnp.array([[0.5, -1.0, 0.2], [0.9, 0.0, -0.4]])
    loss = jax.jit(jax.vmap(lambda key: family.loss(chunk, key, jnp.ones(2), chunk)[0]))
    np.testing.assert_allclose(loss(jax.random.split(jax.random.key(0), 300)), 0, atol=1e-6)
