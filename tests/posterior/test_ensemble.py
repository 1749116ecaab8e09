"""The ensemble against weighted least squares, which a linear member must reach, and its bootstrap's properties."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax import parallel
from postbc_jax.data.windows import Windows
from postbc_jax.posterior import EnsembleConfig, ensemble, gaussian, noise

N, EPISODES, OBS, ACTIONS = 48, 12, 2, 2
MEMBERS = 200
TARGET_STD = 0.3
LINEAR = EnsembleConfig(
    hidden=(),
    bootstrap='perturbed',
    target_std=TARGET_STD,
    steps=1500,
    steps_per_chunk=500,
    batch_size=256,
    learning_rate=0.01,
    final_rate=1e-3,
)
SMALL = EnsembleConfig(hidden=(8,), steps=4, steps_per_chunk=2, batch_size=4)


def _windows(chunk):
    rng = np.random.default_rng(0)
    length = N // EPISODES
    episode = np.repeat(np.arange(EPISODES, dtype=np.int32), length)
    obs = rng.uniform(-1, 1, (N, OBS)).astype(np.float32)
    actions = obs @ rng.normal(size=(OBS, ACTIONS)) + 0.3 + TARGET_STD * rng.normal(size=(N, ACTIONS))
    return Windows(
        obs=obs,
        actions=actions.astype(np.float32),
        last=(episode + 1) * length - 1,
        time=np.arange(N, dtype=np.int32) % length,
        episode=episode,
        chunk=chunk,
    )


@functools.cache
def _population(config):
    mesh = parallel.mesh(1, jax.devices()[:1])
    return mesh, parallel.population(ensemble(config), mesh)


def _fit(config, indices, windows, mask=None, chunks=None):
    """The members of those indices after `chunks` calls (all): final states, predictors, the last call's metrics."""
    mesh, trainer = _population(config)
    masks = np.ones((len(indices), N), np.float32) if mask is None else mask
    data = {'windows': parallel.shard(windows, mesh), 'mask': parallel.shard(masks, mesh, jax.P(parallel.LEARNER))}
    state = trainer.init(parallel.learner_keys(jax.random.key(0), indices, mesh), data)
    metrics = {}
    for _ in range(config.steps // config.steps_per_chunk if chunks is None else chunks):
        state, metrics = trainer.run_chunk(state, data)
    return state, trainer.policy(state, data), metrics


@pytest.fixture(scope='module')
def linear():
    windows = _windows(chunk=1)
    state, predictors, _ = _fit(LINEAR, range(MEMBERS), windows)
    return windows, state, predictors


def _features(obs):
    return np.concatenate([obs, np.ones((len(obs), 1))], axis=1)


def _least_squares(windows, actions, counts):
    """Predictions (N, A) of the weighted least-squares fit, in float64."""
    root = np.sqrt(np.asarray(counts, np.float64))[:, None]
    features = _features(windows.obs)
    theta = np.linalg.lstsq(features * root, actions * root, rcond=None)[0]
    return features @ theta


def test_a_linear_member_reaches_the_least_squares_fit_of_its_perturbed_targets(linear):
    windows, state, predictors = linear
    for member in range(5):
        targets = windows.actions + TARGET_STD * np.asarray(
            jax.random.normal(state.noise_key[member], windows.actions.shape)
        )
        predicted = jax.tree.map(lambda x, i=member: x[i], predictors)(windows.obs)
        expected = _least_squares(windows, targets, np.ones(N))
        np.testing.assert_allclose(predicted[:, 0], expected, atol=0.02)


@pytest.mark.parametrize('kind', ['trajectory', 'pair'])
def test_a_linear_member_reaches_the_least_squares_fit_of_its_bootstrap(kind):
    windows = _windows(chunk=1)
    state, predictors, _ = _fit(dataclasses.replace(LINEAR, bootstrap=kind), range(3), windows)
    for member in range(3):
        predicted = jax.tree.map(lambda x, i=member: x[i], predictors)(windows.obs)
        expected = _least_squares(windows, windows.actions, state.counts[member])
        np.testing.assert_allclose(predicted[:, 0], expected, atol=0.02)
        assert np.abs(expected - _least_squares(windows, windows.actions, np.ones(N))).max() > 0.03


def test_the_draws_have_the_posterior_covariance(linear):
    windows, _, predictors = linear
    factors = noise.factors(predictors, jnp.asarray(windows.obs))  # (N, A, 1, A)
    draws = 4000
    queries = np.array([0, 17, 40])
    sampled = jax.vmap(lambda k: jax.vmap(lambda f: noise.sample(k, f))(factors[queries]))(
        jax.random.split(jax.random.key(1), draws)
    )[:, :, 0]  # (draws, 3, A)
    unbiased = MEMBERS / (MEMBERS - 1)
    features = _features(windows.obs).astype(np.float32)
    closed = gaussian.linear_covariance(features, TARGET_STD**2 * jnp.eye(ACTIONS), features[queries])  # (3, A, A)
    for i in range(len(queries)):
        covariance = unbiased * np.cov(np.asarray(sampled[:, i]), rowvar=False)
        # standard error of a Gaussian sample covariance, over the members and over the draws
        variances = np.diag(closed[i])
        error = np.sqrt((closed[i] ** 2 + np.outer(variances, variances)) * (1 / MEMBERS + 1 / draws))
        assert np.all(np.abs(covariance - closed[i]) < 4 * error), (covariance, closed[i], error)


def test_the_spread_over_all_states_is_the_posteriors(linear):
    windows, _, predictors = linear
    factors = noise.factors(predictors, jnp.asarray(windows.obs))
    variance = MEMBERS / (MEMBERS - 1) * noise.deviation(factors)[:, 0] ** 2  # (N, A)
    # OLS under a flat prior: the leverages sum to the features, so the mean variance is std^2 F / N exactly; its
    # estimate averages F * A * K squared normals
    expected = TARGET_STD**2 * (OBS + 1) / N
    error = expected * np.sqrt(2 / ((OBS + 1) * ACTIONS * MEMBERS))
    assert abs(variance.mean() - expected) < 4 * error


def test_a_member_is_the_same_whatever_the_ensemble():
    windows = _windows(chunk=3)
    _, three, _ = _fit(SMALL, [0, 1, 2], windows)
    _, four, _ = _fit(SMALL, [2, 0, 1, 5], windows)
    for a, b in zip(jax.tree.leaves(three), jax.tree.leaves(four), strict=True):
        np.testing.assert_allclose(a[2], b[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(a[0], b[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('kind', ['trajectory', 'pair'])
def test_members_have_their_own_bootstrap_and_initialisation(kind):
    state, predictors, _ = _fit(dataclasses.replace(SMALL, bootstrap=kind), range(3), _windows(chunk=3), chunks=0)
    counts = np.asarray(state.counts)
    assert np.allclose(counts.sum(axis=1), N)
    assert not np.array_equal(counts[0], counts[1]) and not np.array_equal(counts[1], counts[2])
    by_episode = counts.reshape(3, EPISODES, -1)
    assert (by_episode == by_episode[:, :, :1]).all() == (kind == 'trajectory')
    kernel = predictors.params['params']['Dense_0']['kernel']
    assert np.abs(kernel[0] - kernel[1]).max() > 0.01


@pytest.mark.parametrize('kind', ['trajectory', 'pair', 'perturbed'])
def test_a_member_never_counts_a_step_outside_its_mask(kind):
    mask = np.zeros((3, N), np.float32)
    mask[0, :8] = mask[1:, 20:40] = 1
    state, _, _ = _fit(dataclasses.replace(SMALL, bootstrap=kind), range(3), _windows(chunk=3), mask, chunks=0)
    assert np.all(np.asarray(state.counts)[mask == 0] == 0)
    np.testing.assert_allclose(state.counts.sum(axis=1), [8, 20, 20])


def test_two_chunks_go_on_from_each_other_and_see_new_batches():
    windows = _windows(chunk=3)
    state, _, metrics = _fit(SMALL, range(3), windows)
    assert np.array_equal(state.step, [4, 4, 4]) and metrics['loss'].shape == (3,)
    once, _, _ = _fit(SMALL, range(3), windows, chunks=1)
    kernel, before = (s.params['params']['Dense_0']['kernel'] for s in (state, once))
    assert np.abs(kernel - before).max() > 1e-4


def test_weight_decay_alone_shrinks_the_parameters_by_hand_arithmetic():
    # a target of 0 at obs 0 leaves the kernel without a gradient: two steps of p <- p (1 - rate decay)
    windows = _windows(chunk=1).replace(obs=np.zeros((N, OBS), np.float32), actions=np.zeros((N, ACTIONS), np.float32))
    config = dataclasses.replace(
        LINEAR, target_std=0.0, steps=2, steps_per_chunk=2, learning_rate=0.1, final_rate=1.0, weight_decay=0.5
    )
    start, _, _ = _fit(config, range(1), windows, chunks=0)
    state, _, _ = _fit(config, range(1), windows)
    kernel = [s.params['params']['Dense_0']['kernel'] for s in (start, state)]
    np.testing.assert_allclose(kernel[1], kernel[0] * (1 - 0.1 * 0.5) ** 2, rtol=1e-5)


def test_the_gaussian_head_reaches_the_likelihood_of_its_errors():
    # actions that do not depend on the observation, which is 0: mean and std are the sample's own, in closed form
    windows = _windows(chunk=1).replace(obs=np.zeros((N, OBS), np.float32))
    config = dataclasses.replace(LINEAR, head='gaussian', target_std=0.0)
    state, predictors, _ = _fit(config, range(1), windows)
    mean, log_std = np.split(np.asarray(state.params['params']['Dense_0']['bias'])[0], 2)
    np.testing.assert_allclose(mean, windows.actions.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(np.exp(log_std), windows.actions.std(axis=0), atol=0.02)
    member = jax.tree.map(lambda x: x[0], predictors)
    np.testing.assert_allclose(member(jnp.zeros(OBS)), mean[None], atol=1e-6)


@pytest.mark.parametrize(
    'field, value',
    [
        ('head', 'l1'),
        ('bootstrap', 'block'),
        ('activation', 'cube'),
        ('steps', 0),
        ('batch_size', 0),
        ('target_std', -1),
    ],
)
def test_a_bad_field_is_refused_by_name_and_value(field, value):
    with pytest.raises(ValueError, match=f'{field}={value!r}'):
        EnsembleConfig(**{field: value})
