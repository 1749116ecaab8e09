"""The closed-form posterior against scalar arithmetic, numpy, and its own perturbed-fit sampler."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax.posterior import gaussian

NOISE = jnp.array([[0.5, 0.2], [0.2, 0.3]])
PRIOR = jnp.array([[2.0, -0.5], [-0.5, 1.0]])
X = jnp.array([[1.0, 0.0], [0.5, -0.5], [1.5, 0.2]])


def test_posterior_by_hand_in_one_dimension():
    # precision 1/4 + 3/2 = 7/4; mean = (4/7) (1/2) (1 + 2 + 6)
    mean, covariance = gaussian.posterior(jnp.array([[1.0], [2.0], [6.0]]), jnp.array([[2.0]]), jnp.array([[4.0]]))
    np.testing.assert_allclose(covariance, [[4 / 7]], rtol=1e-6)
    np.testing.assert_allclose(mean, [18 / 7], rtol=1e-6)


def test_posterior_is_the_conditional_of_the_joint_gaussian():
    # (mu, x_1, x_2, x_3) is jointly Gaussian with Cov(mu, x_t) = prior, Cov(x_s, x_t) = prior + [s = t] noise
    joint = np.kron(np.ones((3, 3)), PRIOR) + np.kron(np.eye(3), NOISE)
    cross = np.kron(np.ones((1, 3)), PRIOR)
    gain = cross @ np.linalg.inv(joint)
    mean, covariance = gaussian.posterior(X, NOISE, PRIOR)
    np.testing.assert_allclose(mean, gain @ np.asarray(X).ravel(), atol=1e-5)
    np.testing.assert_allclose(covariance, PRIOR - gain @ cross.T, atol=1e-5)


def test_perturbed_fits_are_distributed_as_the_posterior():
    draws = 20_000
    keys = jax.random.split(jax.random.key(0), draws)
    fits = np.asarray(jax.jit(jax.vmap(lambda k: gaussian.perturbed_fit(k, X, NOISE, PRIOR)))(keys))
    mean, covariance = gaussian.posterior(X, NOISE, PRIOR)
    variances = np.diag(covariance)
    assert np.all(np.abs(fits.mean(axis=0) - mean) < 4 * np.sqrt(variances / draws))
    error = np.sqrt((covariance**2 + np.outer(variances, variances)) / draws)
    assert np.all(np.abs(np.cov(fits, rowvar=False) - covariance) < 4 * error)


def test_over_demonstration_sets_the_truth_is_a_draw_from_the_posterior():
    sets, shape = 20_000, (20_000, 3, 2)  # of 3 demonstrations each
    truth_key, noise_key = jax.random.split(jax.random.key(0))
    truths = jax.random.multivariate_normal(truth_key, jnp.zeros(2), PRIOR, (sets,))
    x = truths[:, None] + jax.random.multivariate_normal(noise_key, jnp.zeros(2), NOISE, shape[:2])
    means, covariances = jax.jit(jax.vmap(lambda x: gaussian.posterior(x, NOISE, PRIOR)))(x)
    errors = np.asarray(jnp.linalg.solve(jnp.linalg.cholesky(covariances), (truths - means)[..., None]))[..., 0]
    assert np.all(np.abs(errors.mean(axis=0)) < 3 / np.sqrt(sets))
    assert np.all(np.abs(np.cov(errors, rowvar=False) - np.eye(2)) < 3 * np.sqrt((1 + np.eye(2)) / sets))


def test_linear_covariance_of_a_constant_feature_is_the_noise_over_n():
    covariance = gaussian.linear_covariance(jnp.ones((5, 1)), NOISE, jnp.ones((2, 1)))
    np.testing.assert_allclose(covariance, np.stack([NOISE / 5] * 2), rtol=1e-5)


def test_linear_covariance_is_the_posterior_under_a_wide_prior():
    # one one-hot feature a state: each state is App. C's mean estimation on its own
    features = jnp.eye(2)[jnp.array([0, 0, 0, 1])]
    covariance = gaussian.linear_covariance(features, NOISE, jnp.eye(2))
    _, wide = gaussian.posterior(X, NOISE, 1e4 * jnp.eye(2))
    np.testing.assert_allclose(covariance[0], wide, rtol=1e-3)
    np.testing.assert_allclose(covariance[1], NOISE, rtol=1e-5)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r'prior \(1, 1\): must be \(2, 2\)'):
        gaussian.posterior(X, NOISE, jnp.eye(1))
    with pytest.raises(ValueError, match=r'features \(1, 2\)'):
        gaussian.linear_covariance(jnp.ones((1, 2)), NOISE, jnp.ones((1, 2)))
