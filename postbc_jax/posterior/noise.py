"""The posterior's noise: a factor of the covariance at each demonstration state, draws with it, and their scale.

Between the ensemble and pretraining. The covariance over members cov(s) (arXiv 2512.16911, Section 5) is never formed:
a factor F (R, T, A) has cov(s) = F^T F over the R rows, and w = sum_r z_r F_r with z ~ N(0, I_R) has exactly that
covariance, of whatever rank. The members' residuals are a factor of K rows; with K > T A the triangle of their QR
decomposition is one of T A rows, and that is what is kept.
"""

import functools

import jax
import jax.numpy as jnp

from postbc_jax.data.windows import Windows
from postbc_jax.posterior.ensemble import Predictor

COVARIANCES = ('full', 'diagonal')


@functools.partial(jax.jit, static_argnames='rows')
def factors(predictors: Predictor, obs: jax.Array, rows: int = 512) -> jax.Array:
    """A factor of the posterior covariance at each state. One member has factors 0.

    Args:
      predictors: K members of one posterior, leaves (K, ...). For S seeds: jax.vmap over leaves (S, K, ...).
      obs: (N, O), normalised.
      rows: states at a time, which bounds the memory of the hidden layers at K * rows * width floats.

    Returns:
      (N, R, T, A) with R = min(K, T A).
    """

    def at(s):
        return factor(jax.vmap(lambda member: member(s))(predictors))  # of (K, T, A)

    return jax.lax.map(at, obs, batch_size=min(rows, obs.shape[0]))


def factor(predictions: jax.Array) -> jax.Array:
    """K members' predictions (K, T, A) of one state -> F (R, T, A), F^T F = mean_l r_l r_l^T, r_l = f_l - mean_l f_l.

    The sum over members is divided by K: an unbiased covariance would be K / (K - 1) times it.
    """
    members, *shape = predictions.shape
    residuals = (predictions - predictions.mean(axis=0)).reshape(members, -1) / jnp.sqrt(members)
    if members > residuals.shape[1]:
        residuals = jnp.linalg.qr(residuals, mode='r')
        diagonal = jnp.diagonal(residuals)[:, None]
        residuals = jnp.where(diagonal < 0, -residuals, residuals)  # R is unique but for its rows' signs
    return residuals.reshape(-1, *shape)


def sample(key: jax.Array, factor: jax.Array, covariance: str = 'full') -> jax.Array:
    """Draws w ~ N(0, cov(s)) for one state.

    Args:
      key: typed key.
      factor: (R, T, A), of one state.
      covariance: 'full', or 'diagonal' for cov(s)'s diagonal alone (arXiv 2512.16911, App. D, Libero Best-of-N).

    Returns:
      (T, A), in normalised action units.

    Raises:
      ValueError: unknown covariance.
    """
    if covariance not in COVARIANCES:
        raise ValueError(f'covariance={covariance!r}: choose one of {", ".join(COVARIANCES)}')
    if covariance == 'full':
        return combine(jax.random.normal(key, factor.shape[:1]), factor)
    return jax.random.normal(key, factor.shape[1:]) * deviation(factor)


def combine(z: jax.Array, factor: jax.Array) -> jax.Array:
    """sum_r z_r F_r: z (R,), factor (R, T, A) -> (T, A)."""
    return jnp.tensordot(z, factor, axes=1)


def deviation(factor: jax.Array) -> jax.Array:
    """The posterior's standard deviation, factor (..., R, T, A) -> (..., T, A)."""
    return jnp.sqrt(jnp.sum(factor**2, axis=-3))


def scale(
    deviation: jax.Array, windows: Windows, action_scale: jax.Array, steps: jax.Array, bins: int = 10
) -> dict[str, jax.Array]:
    """How large a noise is, and where: alpha means nothing across tasks without it.

    Args:
      deviation: (M, T, A), the noise's standard deviation at each of `steps` in normalised units:
        alpha * deviation(factor) for PostBC, sigma everywhere for sigma-BC.
      windows: the demonstrations.
      action_scale: (A,), action units per normalised unit: Normaliser.action_scale().
      steps: (M,) int, the steps that count: all of an episode or none.
      bins: equal parts of an episode in `rms_over_time`.

    Returns:
      rms: (), root mean square over states, T and A, in action units.
      rms_normalised: (), the same in normalised units: the sigma of a sigma-BC of matched scale.
      rms_per_dimension: (A,), in action units.
      rms_over_time: (bins,), in action units, from the episodes' start to their end, every episode weighing the same.
      clipped_share: (), expected share of the noised targets' entries outside [-1, 1] (Gaussian marginals, exact).
    """
    normalised = deviation**2  # (M, T, A)
    variance = normalised * action_scale**2
    parts = _parts(windows, bins)[steps]  # (M, bins)
    over_time = (parts * variance.mean(axis=(1, 2))[:, None]).sum(0) / parts.sum(0)
    _, chunks = windows.take(steps)  # (M, T, A)
    return {
        'rms': jnp.sqrt(variance.mean()),
        'rms_normalised': jnp.sqrt(normalised.mean()),
        'rms_per_dimension': jnp.sqrt(variance.mean(axis=(0, 1))),
        'rms_over_time': jnp.sqrt(over_time),
        'clipped_share': _share_outside(chunks, deviation).mean(),
    }


def _parts(windows: Windows, bins: int) -> jax.Array:
    """How much of each of `bins` equal parts of its episode a step covers, (N, bins); an episode's sum to 1 each.

    An episode shorter than `bins` thus leaves no part empty.
    """
    length = windows.time + 1 + windows.last - jnp.arange(windows.time.shape[0])  # (N,), steps of the episode
    start, end = windows.time / length, (windows.time + 1) / length
    edges = jnp.arange(bins + 1) / bins
    overlap = jnp.minimum(end[:, None], edges[1:]) - jnp.maximum(start[:, None], edges[:-1])
    return bins * jnp.maximum(overlap, 0.0)


def _share_outside(target: jax.Array, deviation: jax.Array) -> jax.Array:
    """P(|target + N(0, deviation^2)| > 1), elementwise."""
    noisy = deviation > 0
    safe = jnp.where(noisy, deviation, 1.0)
    cdf = jax.scipy.stats.norm.cdf
    share = cdf((-1 - target) / safe) + cdf((target - 1) / safe)
    return jnp.where(noisy, share, jnp.abs(target) > 1)
