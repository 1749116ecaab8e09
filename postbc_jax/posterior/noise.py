"""The posterior's noise: the members' residuals at the demonstration states, draws from them, and their scale.

Between the ensemble and pretraining. The covariance over members cov(s) (arXiv 2512.16911, Section 5) is never formed:
w = K^-1/2 sum_l z_l (f_l(s) - mean_l f_l(s)) with z ~ N(0, I_K) has exactly that covariance, of whatever rank.
"""

import functools

import jax
import jax.numpy as jnp

from postbc_jax.data.windows import Windows
from postbc_jax.posterior.ensemble import Predictor

COVARIANCES = ('full', 'diagonal')


@functools.partial(jax.jit, static_argnames='rows')
def residuals(predictors: Predictor, obs: jax.Array, rows: int = 512) -> jax.Array:
    """What each member predicts at each state, less the members' mean. One member has residuals 0.

    Args:
      predictors: K members of one posterior, leaves (K, ...). For S seeds: jax.vmap over leaves (S, K, ...).
      obs: (N, O), normalised.
      rows: states at a time, which bounds the memory of the hidden layers at K * rows * width floats.

    Returns:
      (N, K, T, A), f_l(s) - mean_l f_l(s).
    """

    def at(s):
        f = jax.vmap(lambda member: member(s))(predictors)  # (K, T, A)
        return f - f.mean(axis=0)

    return jax.lax.map(at, obs, batch_size=min(rows, obs.shape[0]))


def sample(key: jax.Array, residuals: jax.Array, covariance: str = 'full') -> jax.Array:
    """Draws w ~ N(0, cov(s)) for one state.

    Args:
      key: typed key.
      residuals: (K, T, A), of one state.
      covariance: 'full', or 'diagonal' for cov(s)'s diagonal alone (arXiv 2512.16911, App. D, Libero Best-of-N).

    Returns:
      (T, A), in normalised action units.

    Raises:
      ValueError: unknown covariance.
    """
    if covariance not in COVARIANCES:
        raise ValueError(f'covariance={covariance!r}: choose one of {", ".join(COVARIANCES)}')
    if covariance == 'full':
        return combine(jax.random.normal(key, residuals.shape[:1]), residuals)
    return jax.random.normal(key, residuals.shape[1:]) * deviation(residuals)


def combine(z: jax.Array, residuals: jax.Array) -> jax.Array:
    """K^-1/2 sum_l z_l r_l: z (K,), residuals (K, T, A) -> (T, A)."""
    return jnp.tensordot(z, residuals, axes=1) / jnp.sqrt(residuals.shape[0])


def deviation(residuals: jax.Array) -> jax.Array:
    """The posterior's standard deviation, residuals (..., K, T, A) -> (..., T, A).

    The sum over members is divided by K, as in `combine`: an unbiased variance would be K / (K - 1) times it.
    """
    return jnp.sqrt(jnp.mean(residuals**2, axis=-3))


def scale(
    deviation: jax.Array, windows: Windows, action_scale: jax.Array, mask: jax.Array, bins: int = 10
) -> dict[str, jax.Array]:
    """How large a noise is, and where: alpha means nothing across tasks without it.

    Args:
      deviation: (N, T, A), the noise's standard deviation at each demonstration state in normalised units:
        alpha * deviation(residuals) for PostBC, sigma everywhere for sigma-BC.
      windows: the demonstrations, N steps.
      action_scale: (A,), action units per normalised unit: Normaliser.action_scale().
      mask: (N,), 1 at the steps that count.
      bins: equal parts of an episode in `rms_over_time`.

    Returns:
      rms: (), root mean square over states, T and A, in action units.
      rms_normalised: (), the same in normalised units: the sigma of a sigma-BC of matched scale.
      rms_per_dimension: (A,), in action units.
      rms_over_time: (bins,), in action units, from the episodes' start to their end, every episode weighing the same.
      clipped_share: (), expected share of the noised targets' entries outside [-1, 1] (Gaussian marginals, exact).
    """
    normalised = deviation**2  # (N, T, A)
    variance = normalised * action_scale**2
    weights = mask / mask.sum()  # (N,)
    parts = _parts(windows, bins) * mask[:, None]  # (N, bins)
    over_time = (parts * variance.mean(axis=(1, 2))[:, None]).sum(0) / parts.sum(0)
    _, chunks = windows.take(jnp.arange(mask.shape[0]))  # (N, T, A)
    return {
        'rms': jnp.sqrt(weights @ variance.mean(axis=(1, 2))),
        'rms_normalised': jnp.sqrt(weights @ normalised.mean(axis=(1, 2))),
        'rms_per_dimension': jnp.sqrt(weights @ variance.mean(axis=1)),
        'rms_over_time': jnp.sqrt(over_time),
        'clipped_share': weights @ _share_outside(chunks, deviation).mean(axis=(1, 2)),
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
