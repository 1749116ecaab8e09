"""Noise as residual combinations: exact covariance by basis vectors, degenerate cases, and its scale by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats as scipy_stats

from postbc_jax.data.windows import Windows
from postbc_jax.posterior import EnsembleConfig, Predictor, noise

K, T, A = 5, 3, 2


def _residuals(members=K):
    f = np.random.default_rng(0).normal(size=(members, T, A)).astype(np.float32)
    return jnp.asarray(f - f.mean(axis=0))


@pytest.mark.parametrize('members', [2, K, 20])  # 2 and 5 are rank-deficient: the chunk has 6 entries
def test_the_draws_covariance_is_the_residuals_covariance_exactly(members):
    residuals = _residuals(members)
    # the draw is linear in z ~ N(0, I_K): its covariance is the sum of outer products of its values at basis vectors
    columns = jax.vmap(lambda z: noise.combine(z, residuals))(jnp.eye(members)).reshape(members, -1)
    expected = np.cov(np.asarray(residuals).reshape(members, -1), rowvar=False, bias=True)
    np.testing.assert_allclose(columns.T @ columns, expected, atol=1e-6)


def test_sample_is_the_combination_of_standard_normals():
    residuals, key = _residuals(), jax.random.key(3)
    z = jax.random.normal(key, (K,))
    np.testing.assert_allclose(noise.sample(key, residuals), noise.combine(z, residuals), atol=1e-6)


def test_full_and_diagonal_draws_have_their_covariances_within_standard_error():
    residuals, draws = _residuals(), 20_000
    full = np.cov(np.asarray(residuals).reshape(K, -1), rowvar=False, bias=True)
    keys = jax.random.split(jax.random.key(0), draws)
    for covariance, expected in (('full', full), ('diagonal', np.diag(np.diag(full)))):
        w = jax.vmap(lambda k, c=covariance: noise.sample(k, residuals, c))(keys).reshape(draws, -1)
        variances = np.diag(expected)
        error = np.sqrt((expected**2 + np.outer(variances, variances)) / draws)
        assert np.all(np.abs(np.cov(np.asarray(w), rowvar=False) - expected) < 5 * error), covariance
    assert np.abs(full - np.diag(np.diag(full))).max() > 0.3  # so that the two could be told apart


@pytest.mark.parametrize('covariance', noise.COVARIANCES)
def test_no_spread_is_no_noise_bit_for_bit(covariance):
    chunk = _residuals()[0]
    w = noise.sample(jax.random.key(0), jnp.zeros((K, T, A)), covariance)
    assert np.array_equal(np.asarray(chunk + 1.0 * w).view(np.uint32), np.asarray(chunk).view(np.uint32))


def test_an_unknown_covariance_is_refused():
    with pytest.raises(ValueError, match="covariance='banded': choose one of full, diagonal"):
        noise.sample(jax.random.key(0), _residuals(), 'banded')


def _predictors(members):
    """Linear members f(s) = s W + b with known parameters."""
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(members, 4, T * A)).astype(np.float32)
    bias = rng.normal(size=(members, T * A)).astype(np.float32)
    params = {'params': {'Dense_0': {'kernel': jnp.asarray(kernel), 'bias': jnp.asarray(bias)}}}
    return Predictor(params, EnsembleConfig(hidden=()), (T, A)), kernel, bias


@pytest.mark.parametrize('rows', [1, 4, 7, 512])  # of 11 states: with and without a remainder
def test_residuals_are_the_predictions_less_their_mean(rows):
    predictors, kernel, bias = _predictors(K)
    obs = np.random.default_rng(2).normal(size=(11, 4)).astype(np.float32)
    f = np.einsum('no,lod->nld', obs, kernel) + bias
    expected = (f - f.mean(axis=1, keepdims=True)).reshape(11, K, T, A)
    np.testing.assert_allclose(noise.residuals(predictors, obs, rows=rows), expected, atol=1e-5)


def test_seeds_are_mapped_over_residuals():
    predictors, _, _ = _predictors(2 * K)
    obs = np.ones((3, 4), np.float32)
    by_seed = jax.tree.map(lambda x: x.reshape(2, K, *x.shape[1:]), predictors)
    both = jax.vmap(noise.residuals, in_axes=(0, None))(by_seed, obs)
    second = noise.residuals(jax.tree.map(lambda x: x[1], by_seed), obs)
    assert both.shape == (2, 3, K, T, A)
    np.testing.assert_allclose(both[1], second, atol=1e-6)


def test_one_member_has_zero_residuals():
    predictors, _, _ = _predictors(1)
    residuals = noise.residuals(predictors, np.ones((3, 4), np.float32))
    assert residuals.shape == (3, 1, T, A)
    assert not np.asarray(residuals).any()


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
    scale = noise.scale(jnp.full((11, T, A), sigma), windows, jnp.array([1.0, 3.0]), jnp.ones(11))
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
    scale = noise.scale(deviation, windows, jnp.ones(A), jnp.ones(5), bins=2)
    first = ((1 * 2 / 3 + 4 * 1 / 3) + 16) / 2
    second = ((4 * 1 / 3 + 9 * 2 / 3) + 25) / 2
    np.testing.assert_allclose(scale['rms_over_time'], np.sqrt([first, second]), rtol=1e-5)


def test_scale_reads_only_the_steps_of_the_mask():
    windows = _windows([3, 2])
    deviation = jnp.array([0.1, 0.1, 0.1, 9.0, 9.0])[:, None, None] * jnp.ones((5, T, A))
    scale = noise.scale(deviation, windows, jnp.ones(A), jnp.array([1.0, 1.0, 1.0, 0.0, 0.0]))
    np.testing.assert_allclose(scale['rms'], 0.1, rtol=1e-5)
    np.testing.assert_allclose(scale['rms_over_time'], 0.1, rtol=1e-5)


def test_scale_of_no_noise_is_zero_and_clips_nothing():
    windows = _windows([3, 2]).replace(actions=np.ones((5, A), np.float32))  # on the boundary itself
    scale = noise.scale(jnp.zeros((5, T, A)), windows, jnp.ones(A), jnp.ones(5))
    assert all(not np.asarray(value).any() for value in scale.values())
