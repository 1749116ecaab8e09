"""Losses of reinforcement learning: pure numerics on one example, batched by the trainers with vmap.

Used by ppo, sac and iql. Names follow rlax: r_t, discount_t, v_t.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np


def clipped_surrogate(log_prob: jax.Array, old_log_prob: jax.Array, advantage: jax.Array, clip: float) -> jax.Array:
    """PPO's loss (arXiv 1707.06347, Eq. 7): -min(rho A, clip(rho, 1 - clip, 1 + clip) A), rho = pi / pi_old."""
    chex.assert_rank([log_prob, old_log_prob, advantage], 0)
    ratio = jnp.exp(log_prob - old_log_prob)
    return -jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - clip, 1 + clip) * advantage)


def clip_schedule(clip: float, base: float, steps: int) -> np.ndarray:
    """Clips (K',) of a chain's steps, noisiest first: from base up to clip (DPPO, arXiv 2409.00588, and its code).

    base + (clip - base) (e^(3t) - 1) / (e^3 - 1), t even from 0 to 1; one step has `clip`.
    """
    t = np.linspace(0, 1, steps) if steps > 1 else np.ones(1)
    return (base + (clip - base) * np.expm1(3 * t) / np.expm1(3)).astype(np.float32)


def denoising_discounts(discount: float, steps: int) -> np.ndarray:
    """discount^k (K',), noisiest first, k = 0 at the last step (DPPO, arXiv 2409.00588)."""
    return (discount ** np.arange(steps - 1, -1, -1)).astype(np.float32)


def kl_estimate(log_prob: jax.Array, old_log_prob: jax.Array) -> jax.Array:
    """An unbiased, non-negative estimate of KL(pi_old | pi) from one draw of pi_old: rho - 1 - log rho."""
    chex.assert_rank([log_prob, old_log_prob], 0)
    log_ratio = log_prob - old_log_prob
    return jnp.expm1(log_ratio) - log_ratio


def expectile(error: jax.Array, expectile: float) -> jax.Array:
    """IQL's asymmetric square (arXiv 2110.06169, Eq. 4): |tau - 1(e < 0)| e^2.

    Its minimiser over v of e = x - v is the tau-expectile of x: the mean at .5, towards the greatest x at 1.

    Args:
      error: scalar, e.
      expectile: tau in (0, 1).
    """
    chex.assert_rank(error, 0)
    return jnp.where(error < 0, 1 - expectile, expectile) * jnp.square(error)


def value_target(r_t: jax.Array, discount_t: jax.Array, v_t: jax.Array, low: float, high: float) -> jax.Array:
    """One step's target, kept inside what a return can be: clip(r_t + discount_t v_t, low, high), without gradient.

    Args:
      r_t: scalar, the reward.
      discount_t: scalar, the discount; 0 where the step was terminal.
      v_t: scalar, the value that follows.
      low, high: bounds of a return.
    """
    chex.assert_rank([r_t, discount_t, v_t], 0)
    return jax.lax.stop_gradient(jnp.clip(r_t + discount_t * v_t, low, high))


def soft_target(
    r_t: jax.Array,
    discount_t: jax.Array,
    q_t: jax.Array,
    log_prob_t: jax.Array,
    temperature: jax.Array,
    low: float,
    high: float,
) -> jax.Array:
    """SAC's target (arXiv 1812.05905, Eq. 3) with two critics, kept inside what a return can be.

    clip(r_t + discount_t (min_i q_i - temperature log_prob_t), low, high).

    Args:
      r_t: scalar, the reward.
      discount_t: scalar, the discount; 0 where the step was terminal.
      q_t: (2,), the target critics' values of the next action.
      log_prob_t: scalar, the next action's.
      temperature: scalar.
      low, high: bounds of a return, with a margin.
    """
    chex.assert_rank([r_t, discount_t, q_t, log_prob_t, temperature], [0, 0, 1, 0, 0])
    return value_target(r_t, discount_t, jnp.min(q_t) - temperature * log_prob_t, low, high)


def soft_policy(q_t: jax.Array, log_prob_t: jax.Array, temperature: jax.Array) -> jax.Array:
    """SAC's policy loss (arXiv 1812.05905, Eq. 9): temperature log_prob_t - min_i q_i, q_t (2,)."""
    chex.assert_rank([q_t, log_prob_t, temperature], [1, 0, 0])
    return jax.lax.stop_gradient(temperature) * log_prob_t - jnp.min(q_t)


def temperature_loss(log_temperature: jax.Array, log_prob: jax.Array, target_entropy: float) -> jax.Array:
    """-log_temperature (log_prob + target_entropy): descent raises the temperature while entropy is below target.

    The logarithm in the temperature's place (arXiv 1812.05905, Eq. 18) keeps the gradient when the temperature is
    small, as common implementations do.
    """
    chex.assert_rank([log_temperature, log_prob], 0)
    return -log_temperature * jax.lax.stop_gradient(log_prob + target_entropy)
