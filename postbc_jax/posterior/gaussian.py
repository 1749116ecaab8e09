"""Closed forms of the Gaussian posterior: what the ensemble approximates, where it can be computed.

Beside the ensemble; the reference of its tests, and for users with linear-Gaussian data. Source: arXiv 2512.16911,
Appendix C. Covariances are written noise (Sigma) and prior (Lambda_0) there as here.
"""

import jax
import jax.numpy as jnp


def posterior(x: jax.Array, noise: jax.Array, prior: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The posterior of mu after x_t ~ N(mu, noise), mu ~ N(0, prior).

    It is N(L noise^-1 sum_t x_t, L) with L^-1 = prior^-1 + T noise^-1.

    Args:
      x: (T, D), demonstrated actions of one state.
      noise: (D, D).
      prior: (D, D).

    Returns:
      mean (D,), covariance (D, D).
    """
    _check(x, noise, prior)
    precision = jnp.linalg.inv(noise)
    covariance = jnp.linalg.inv(jnp.linalg.inv(prior) + x.shape[0] * precision)
    return covariance @ precision @ x.sum(axis=0), covariance


def perturbed_fit(key: jax.Array, x: jax.Array, noise: jax.Array, prior: jax.Array) -> jax.Array:
    """One draw from the posterior, made as an ensemble member is: by fitting perturbed data.

    argmin_mu sum_t (mu - x~_t)' noise^-1 (mu - x~_t) + (mu - mu~)' prior^-1 (mu - mu~), where x~_t = x_t + w_t,
    w_t ~ N(0, noise) and mu~ ~ N(0, prior), is distributed exactly as the posterior.

    Args:
      key: typed key.
      x: (T, D).
      noise: (D, D).
      prior: (D, D).

    Returns:
      mu (D,).
    """
    _check(x, noise, prior)
    target_key, prior_key = jax.random.split(key)
    dimensions = jnp.zeros(x.shape[1])
    targets = x + jax.random.multivariate_normal(target_key, dimensions, noise, x.shape[:1])
    anchor = jax.random.multivariate_normal(prior_key, dimensions, prior)
    # the minimum, where the gradient vanishes: (prior^-1 + T noise^-1) mu = noise^-1 sum_t x~_t + prior^-1 mu~
    noise_precision, prior_precision = jnp.linalg.inv(noise), jnp.linalg.inv(prior)
    return jnp.linalg.solve(
        prior_precision + x.shape[0] * noise_precision, noise_precision @ targets.sum(axis=0) + prior_precision @ anchor
    )


def linear_covariance(features: jax.Array, noise: jax.Array, queries: jax.Array) -> jax.Array:
    """The posterior covariance of a linear predictor's outputs under a flat prior: (phi' (Phi' Phi)^-1 phi) noise.

    App. C with mu = theta' phi(s): the actions are a_t ~ N(theta' phi_t, noise), the prior of theta is infinitely wide.

    Args:
      features: (N, F) of full column rank, F <= N; with a column of ones for a bias.
      noise: (D, D).
      queries: (M, F).

    Returns:
      (M, D, D).

    Raises:
      ValueError: fewer rows than features.
    """
    if features.shape[0] < features.shape[1]:
        raise ValueError(
            f'features {features.shape}: a flat prior needs at least as many rows as columns; use fewer features'
        )
    leverage = jnp.einsum('mf,mf->m', queries, jnp.linalg.solve(features.T @ features, queries.T).T)
    return leverage[:, None, None] * noise


def _check(x: jax.Array, noise: jax.Array, prior: jax.Array) -> None:
    square = (x.shape[1], x.shape[1])
    for name, matrix in (('noise', noise), ('prior', prior)):
        if matrix.shape != square:
            raise ValueError(f'{name} {matrix.shape}: must be {square}, for x is {x.shape}')
