"""Noise from factors: exact covariance by basis vectors, degenerate cases, and its scale by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats as scipy_stats

from postbc_jax.data.windows import Windows
from postbc_jax.posterior import EnsembleConfig, Predictor, noise

K, T, A = 5, 3, 2


def _predictions(members=K):
    return np.random.default_rng(0).normal(size=(members, T, A)).astype(np.float32)


def _covariance(predictions):
    """Over members, (T A, T A) in float64."""
    return np.cov(predictions.reshape(len(predictions), -1).astype(float), rowvar=False, bias=True)


@pytest.mark.parametrize('members', [2, K, 6, 7, 20, 300])  # the chunk has 6 entries: rank-deficient, square and thin
def test_the_draws_covariance_is_the_members_covariance_exactly(members):
    factor = noise.factor(jnp.asarray(_predictions(members)))
    assert factor.shape == (min(members, T * A), T, A)
    # the draw is linear in z ~ N(0, I): its covariance is the sum of outer products of its values at basis vectors
    basis = jnp.eye(len(factor))
    columns = np.asarray(jax.vmap(lambda z: noise.combine(z, factor))(basis), float).reshape(len(factor), -1)
    expected = _covariance(_predictions(members))
    assert np.abs(columns.T @ columns - expected).max() < 1e-6 * np.linalg.norm(expected, 2)
    np.testing.assert_allclose(noise.deviation(factor).ravel() ** 2, np.diag(expected), rtol=2e-6)


def test_a_thin_factor_is_a_triangle_with_a_diagonal_that_is_not_negative():
    factor = np.asarray(noise.factor(jnp.asarray(_predictions(20)))).reshape(T * A, T * A)
    np.testing.assert_array_equal(np.tril(factor, -1), 0)
    assert (np.diag(factor) > 0).all()


def test_members_in_another_order_have_the_same_thin_factor():
    """R is unique, where the residuals themselves are in the members' order: no choice of signs is left to a device."""
    predictions = _predictions(20)
    shuffled = predictions[np.random.default_rng(1).permutation(20)]
    np.testing.assert_allclose(noise.factor(jnp.asarray(shuffled)), noise.factor(jnp.asarray(predictions)), atol=2e-6)


def test_sample_is_the_combination_of_standard_normals():
    factor, key = noise.factor(jnp.asarray(_predictions())), jax.random.key(3)
    z = jax.random.normal(key, (K,))
    np.testing.assert_allclose(noise.sample(key, factor), np.tensordot(z, factor, 1), atol=1e-6)


@pytest.mark.parametrize('members', [K, 20])
def test_full_and_diagonal_draws_have_their_covariances_within_standard_error(members):
    factor, draws = noise.factor(jnp.asarray(_predictions(members))), 20_000
    full = _covariance(_predictions(members))
    keys = jax.random.split(jax.random.key(0), draws)
    for covariance, expected in (('full', full), ('diagonal', np.diag(np.diag(full)))):
        w = jax.vmap(lambda k, c=covariance: noise.sample(k, factor, c))(keys).reshape(draws, -1)
        variances = np.diag(expected)
        error = np.sqrt((expected**2 + np.outer(variances, variances)) / draws)
        assert np.all(np.abs(np.cov(np.asarray(w), rowvar=False) - expected) < 5 * error), covariance
    assert np.abs(full - np.diag(np.diag(full))).max() > 0.3  # so that the two could be told apart


@pytest.mark.parametrize('members', [1, K, 32])
@pytest.mark.parametrize('covariance', noise.COVARIANCES)
def test_no_spread_is_no_noise_bit_for_bit(covariance, members):
    chunk = jnp.asarray(_predictions()[0])
    w = noise.sample(jax.random.key(0), noise.factor(jnp.full((members, T, A), 0.25)), covariance)
    assert np.array_equal(np.asarray(chunk + 1.0 * w).view(np.uint32), np.asarray(chunk).view(np.uint32))


def test_an_unknown_covariance_is_refused():
    with pytest.raises(ValueError, match="covariance='banded': choose one of full, diagonal"):
        noise.sample(jax.random.key(0), jnp.zeros((K, T, A)), 'banded')


def _predictors(members):
    """Linear members f(s) = s W + b with known parameters."""
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(members, 4, T * A)).astype(np.float32)
    bias = rng.normal(size=(members, T * A)).astype(np.float32)
    params = {'params': {'Dense_0': {'kernel': jnp.asarray(kernel), 'bias': jnp.asarray(bias)}}}
    return Predictor(params, EnsembleConfig(hidden=()), (T, A)), kernel, bias


@pytest.mark.parametrize('members', [K, 20])
@pytest.mark.parametrize('rows', [1, 4, 7, 512])  # of 11 states: with and without a remainder
def test_factors_are_those_of_the_predictions_at_each_state(rows, members):
    predictors, kernel, bias = _predictors(members)
    obs = np.random.default_rng(2).normal(size=(11, 4)).astype(np.float32)
    predictions = np.einsum('no,lod->nld', obs, kernel) + bias
    found = np.asarray(noise.factors(predictors, obs, rows=rows), float)
    assert found.shape == (11, min(members, T * A), T, A)
    for factor, predicted in zip(found.reshape(11, -1, T * A), predictions, strict=True):
        np.testing.assert_allclose(factor.T @ factor, _covariance(predicted), atol=1e-4)


def test_seeds_are_mapped_over_factors():
    predictors, _, _ = _predictors(2 * K)
    obs = np.ones((3, 4), np.float32)
    by_seed = jax.tree.map(lambda x: x.reshape(2, K, *x.shape[1:]), predictors)
    both = jax.vmap(noise.factors, in_axes=(0, None))(by_seed, obs)
    second = noise.factors(jax.tree.map(lambda x: x[1], by_seed), obs)
    assert both.shape == (2, 3, K, T, A)
    np.testing.assert_allclose(both[1], second, atol=1e-6)


def test_one_member_has_factors_of_zero():
    predictors, _, _ = _predictors(1)
    factors = noise.factors(predictors, np.ones((3, 4), np.float32))
    assert factors.shape == (3, 1, T, A)
    assert not np.asarray(factors).any()


def _windows(lengths):
    n = sum(lengths)
    return Windows(
        obs=np.zeros((n, 1), np.float32),
        actions=np.linspace(-0.9, 0.9, n * A, dtype=np.float32).reshape(n, A),
        last=np.repeat(np.cumsum(lengths) - 1, lengths).astype(np.int32),
        time=np.concatenate([np.arange(x) for x in lengths]).astype(np.int32),
        episode=np.repeat(np.arange(len(lengths)), lengths).astype(np.int32),
        chunk=T,
    )


def test_scale_of_isotropic_noise_is_its_sigma():
    windows, sigma = _windows([4, 7]), 0.2
    scale = noise.scale(jnp.full((11, T, A), sigma), windows, jnp.array([1.0, 3.0]), jnp.arange(11))
    np.testing.assert_allclose(scale['rms_normalised'], sigma, rtol=1e-5)
    np.testing.assert_allclose(scale['rms_per_dimension'], [0.2, 0.6], rtol=1e-5)
    np.testing.assert_allclose(scale['rms'], np.sqrt((0.2**2 + 0.6**2) / 2), rtol=1e-5)
    np.testing.assert_allclose(scale['rms_over_time'], np.full(10, scale['rms']), rtol=1e-5)
    _, chunks = windows.take(jnp.arange(11))
    outside = scipy_stats.norm.sf(1, chunks, sigma) + scipy_stats.norm.cdf(-1, chunks, sigma)
    np.testing.assert_allclose(scale['clipped_share'], outside.mean(), rtol=1e-4)


def test_scale_over_time_splits_a_step_over_the_parts_it_covers():
    # an episode of 3 steps in 2 parts: the middle step is half in each; one of 2 steps: one each
    windows = _windows([3, 2])
    deviation = jnp.array([1.0, 2.0, 3.0, 4.0, 5.0])[:, None, None] * jnp.ones((5, T, A))
    scale = noise.scale(deviation, windows, jnp.ones(A), jnp.arange(5), bins=2)
    first = ((1 * 2 / 3 + 4 * 1 / 3) + 16) / 2
    second = ((4 * 1 / 3 + 9 * 2 / 3) + 25) / 2
    np.testing.assert_allclose(scale['rms_over_time'], np.sqrt([first, second]), rtol=1e-5)


def test_scale_reads_only_the_steps_that_count():
    windows = _windows([3, 2, 4])
    steps = jnp.array([0, 1, 2, 5, 6, 7, 8])  # the first and the third episode
    deviation = jnp.array([1.0, 2.0, 3.0, 1.0, 1.0, 5.0, 5.0])[:, None, None] * jnp.ones((7, T, A))
    scale = noise.scale(deviation, windows, jnp.ones(A), steps, bins=2)
    np.testing.assert_allclose(scale['rms'], np.sqrt((1 + 4 + 9 + 1 + 1 + 25 + 25) / 7), rtol=1e-5)
    first, second = (1 * 2 / 3 + 4 * 1 / 3 + 1) / 2, (4 * 1 / 3 + 9 * 2 / 3 + 25) / 2
    np.testing.assert_allclose(scale['rms_over_time'], np.sqrt([first, second]), rtol=1e-5)
    _, chunks = windows.take(steps)
    spread = np.asarray(deviation)
    outside = scipy_stats.norm.sf(1, chunks, spread) + scipy_stats.norm.cdf(-1, chunks, spread)
    np.testing.assert_allclose(scale['clipped_share'], outside.mean(), rtol=1e-4)


def test_scale_of_no_noise_is_zero_and_clips_nothing():
    windows = _windows([3, 2]).replace(actions=np.ones((5, A), np.float32))  # on the boundary itself
    scale = noise.scale(jnp.zeros((5, T, A)), windows, jnp.ones(A), jnp.arange(5))
    assert all(not np.asarray(value).any() for value in scale.values())
