"""Diffusion against closed forms: the cosine schedule, and samplers given the exact epsilon of a Gaussian target."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from postbc_jax.policies import PolicyConfig, build, diffusion, sampler
from tests.policies.rolled import rolled

MEAN, STD = 0.4, 0.3  # of the Gaussian target


def exact_epsilon(train_steps, mean=MEAN, std=STD):
    """E[epsilon | x_k], chunks ~ N(mean, std^2): x_k ~ N(a mean, a^2 std^2 + b^2), a^2 = alpha_bar, b^2 = 1 - a^2."""
    alpha_bar = jnp.asarray(diffusion.cosine_alpha_bar(train_steps), jnp.float32)

    def epsilon(x, time):
        kept = alpha_bar[jnp.round(time * train_steps).astype(int)]
        return jnp.sqrt(1 - kept) * (x - jnp.sqrt(kept) * mean) / (kept * std**2 + 1 - kept)

    return epsilon


def test_cosine_alpha_bar_is_the_published_ratio_of_cosines():
    alpha_bar = diffusion.cosine_alpha_bar(100)
    f = np.cos((np.arange(101) / 100 + 0.008) / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(alpha_bar[:100], f[:100] / f[0], rtol=1e-12)
    np.testing.assert_allclose(alpha_bar[50], 0.4938436, rtol=1e-6)  # cos^2(.504 pi/2) / cos^2(.0079365 pi/2), by hand
    np.testing.assert_allclose(alpha_bar[100] / alpha_bar[99], 1 - 0.999, rtol=1e-9)  # the bound on beta
    assert (np.diff(alpha_bar) < 0).all() and alpha_bar[0] == 1


def test_schedule_runs_from_little_signal_to_the_chunk_evenly_in_log_snr():
    steps = diffusion.schedule(100, 8)
    np.testing.assert_allclose(steps.time * 100, [95, 87, 71, 45, 21, 9, 3, 1], atol=1e-4)
    np.testing.assert_allclose(steps.signal**2 + steps.noise**2, 1, rtol=1e-6)
    np.testing.assert_array_equal(steps.next_signal[:-1], steps.signal[1:])
    assert steps.next_signal[-1] == 1 and steps.next_noise[-1] == 0
    assert steps.noise[0] / steps.signal[0] < 13  # by which the first clean chunk errs more than epsilon


@pytest.mark.parametrize('train_steps', [1, 2, 5, 20, 100, 1000])
def test_levels_are_distinct_whatever_their_number(train_steps):
    for n in sorted({1, 2, 3, 8, train_steps - 1, train_steps} & set(range(1, train_steps + 1))):
        levels = np.round(diffusion.schedule(train_steps, n).time * train_steps)
        assert (np.diff(levels) < 0).all() and len(levels) == n and levels[-1] >= 1 and levels[0] <= train_steps
        assert (levels[-1] == 1) == (n > 1 or train_steps == 1)
    np.testing.assert_array_equal(levels, np.arange(train_steps, 0, -1))  # as many as there are: all of them


@pytest.mark.parametrize(
    'train_steps, std, share',
    [(100, 0.03, 0.73), (100, 0.06, 0.88), (100, 0.1, 0.95), (100, 0.2, 1.0), (100, 0.5, 1.03), (100, 1.0, 1.03)]
    + [(1000, 0.03, 0.95), (1000, 0.06, 1.0), (1000, 0.1, 1.01), (1000, 0.5, 1.04), (1000, 1.0, 1.04)],
)
def test_eight_steps_play_the_targets_mean_and_std(train_steps, std, share):
    """Decoding a Gaussian target is linear in the noise: what -1 and 1 become says all. Level 1 of 100 holds noise of
    .025, and the last step leaves out what it hides."""
    clean = diffusion.clean_from_epsilon(exact_epsilon(train_steps, std=std), clip=None)
    steps = diffusion.schedule(train_steps, 8)
    low, high = (sampler.deterministic(clean, jnp.full((1, 1), z), steps).item() for z in (-1.0, 1.0))
    np.testing.assert_allclose((high - low) / 2 / std, share, atol=0.012)
    assert -0.08 * std < (low + high) / 2 - MEAN < 0


def test_clip_near_the_bound_plays_the_clipped_target():
    """N(.95, .1^2) bounded to [-1, 1] at every step: its moments are those of the normal cut off at 1."""
    clean = diffusion.clean_from_epsilon(exact_epsilon(1000, 0.95, 0.1), clip=1.0)
    noise = jnp.asarray(stats.norm.ppf((np.arange(4000) + 0.5) / 4000), jnp.float32)[:, None, None]
    chunks = jax.vmap(lambda z: sampler.deterministic(clean, z, diffusion.schedule(1000, 8)))(noise)
    cut = np.minimum(0.95 + 0.1 * np.asarray(noise), 1)
    np.testing.assert_allclose([chunks.mean(), chunks.std()], [cut.mean(), cut.std()], atol=0.006)
    assert chunks.max() == 1 and cut.mean() < 0.95 - 0.015


def test_ddim_with_the_exact_epsilon_transports_noise_to_the_target():
    """The ODE of a Gaussian target is linear: x -> MEAN + STD (x - a_K MEAN) / sqrt(a_K^2 STD^2 + b_K^2)."""
    steps = diffusion.schedule(1000, 1000)
    noise = jnp.linspace(-2.5, 2.5, 11)[:, None, None]
    clean = diffusion.clean_from_epsilon(exact_epsilon(1000), clip=None)
    chunks = jax.vmap(lambda x: sampler.deterministic(clean, x, steps))(noise)
    np.testing.assert_allclose(chunks, MEAN + STD * noise, atol=5e-3)


def test_ancestral_sampling_with_the_exact_epsilon_has_the_targets_moments():
    steps = diffusion.schedule(200, 200)
    clean = diffusion.clean_from_epsilon(exact_epsilon(200), clip=None)
    keys = jax.random.split(jax.random.key(0), 8000)
    chunks = jax.vmap(lambda key: rolled(clean, (1, 1), steps, key)[0])(keys)
    np.testing.assert_allclose(chunks.mean(), MEAN, atol=4 * STD / np.sqrt(8000) + 1e-3)
    np.testing.assert_allclose(chunks.std(), STD, rtol=0.04)


def test_ancestral_step_over_neighbouring_levels_is_ddpms_posterior():
    """arXiv 2006.11239, eq. 7: mean and variance of q(x_(k-1) | x_k, x_0)."""
    alpha_bar = diffusion.cosine_alpha_bar(20)
    beta = 1 - alpha_bar[1:] / alpha_bar[:-1]
    now, before = alpha_bar[1:], alpha_bar[:-1]
    steps = diffusion.schedule(20, 20)
    variance = (1 - before) / (1 - now) * beta
    np.testing.assert_allclose(sampler.ancestral_noise(steps)[1][::-1] ** 2, variance, rtol=1e-3, atol=1e-6)

    chunk = jnp.array([[0.7, -0.2]])
    record = rolled(lambda x, step: chunk, (1, 2), steps, jax.random.key(1))[1]
    from_chunk, from_x = np.sqrt(before) * beta / (1 - now), np.sqrt(1 - beta) * (1 - before) / (1 - now)
    expected = from_chunk[::-1, None, None] * chunk + from_x[::-1, None, None] * record.before
    np.testing.assert_allclose(record.mean, expected, rtol=1e-3, atol=2e-4)
    np.testing.assert_allclose(record.std[::-1, 0, 0], np.sqrt(variance), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize('clip', [1.0, 0.25])
def test_clip_bounds_every_chunk_that_decode_makes(clip):
    config = PolicyConfig('diffusion', 2, 3, chunk=2, hidden=(16,), clip=clip)
    family = build(config)
    noise = 5 * jax.random.normal(jax.random.key(0), (200, 2, 3))
    decode = jax.jit(jax.vmap(functools.partial(family.decode, family.init(jax.random.key(1)), jnp.ones(2))))
    chunks = decode(noise)
    np.testing.assert_allclose(np.abs(chunks).max(), clip, rtol=1e-6)  # reached, and not passed


def test_without_clip_chunks_reach_beyond():
    family = build(PolicyConfig('diffusion', 2, 3, chunk=2, hidden=(16,), clip=None))
    chunk = family.decode(family.init(jax.random.key(1)), jnp.ones(2), 3 * jnp.ones((2, 3)))
    assert np.abs(chunk).max() > 1.5


def test_loss_of_a_network_that_says_zero_is_the_noises_variance():
    family = build(PolicyConfig('diffusion', 2, 3, chunk=2, hidden=(4,)))
    silent = jax.tree.map(jnp.zeros_like, family.init(jax.random.key(0)))
    keys = jax.random.split(jax.random.key(1), 4000)
    loss = jax.jit(jax.vmap(lambda key: family.loss(silent, key, jnp.ones(2), jnp.full((2, 3), 0.5))[0]))(keys)
    np.testing.assert_allclose(loss.mean(), 1.0, atol=4 * np.sqrt(2 / (4000 * 6)))


def test_loss_shows_the_network_chunks_noised_to_the_level_it_names(monkeypatch):
    """A network that knows the chunk c solves x_k = a c + b epsilon for epsilon: its loss is 0 at every level."""
    alpha_bar = jnp.asarray(diffusion.cosine_alpha_bar(20), jnp.float32)

    class Knowing:
        def apply(self, params, x, time, obs, dropout):
            kept = alpha_bar[jnp.round(time * 20).astype(int)]
            return (x - jnp.sqrt(kept) * params) / jnp.sqrt(1 - kept)

    monkeypatch.setattr(diffusion.networks, 'DenoisingMLP', lambda *_: Knowing())
    family = diffusion.diffusion(PolicyConfig('diffusion', 2, 3, chunk=2, train_steps=20))
    chunk = jnp.array([[0.5, -1.0, 0.2], [0.9, 0.0, -0.4]])
    loss = jax.jit(jax.vmap(lambda key: family.loss(chunk, key, jnp.ones(2), chunk)[0]))
    np.testing.assert_allclose(loss(jax.random.split(jax.random.key(0), 300)), 0, atol=1e-8)
