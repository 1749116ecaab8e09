"""A policy's denoising chain as stochastic decisions: rolled from noise, and looked at again under other parameters.

Above every family's transitions, below the finetuners that learn them (DPPO, arXiv 2409.00588). A Gaussian policy is
the chain of length one. For ONE observation; batch with vmap.
"""

import jax
import jax.numpy as jnp

from postbc_jax import losses
from postbc_jax.types import Family, Params, Steps


def roll(
    family: Family,
    frozen: Params,
    params: Params,
    finetuned: int,
    obs: jax.Array,
    normal: jax.Array,
    min_std: float = 0.0,
) -> tuple[jax.Array, Steps]:
    """Plays the chain: its first n - K' transitions by `frozen`, its last K' by `params`.

    Args:
      family: n = family.transitions.
      frozen, params: of its network.
      finetuned: K', from 1 to n.
      obs: (O,), normalised.
      normal: (n + 1, T, A) standard normal draws: where the chain begins, and one a transition.
      min_std: floor of the standard deviation that a transition draws with. The mean is that of the chain without it,
        so that it is exploration and nothing else (DPPO's sigma_min).

    Returns:
      The chunk (T, A), normalised, and the last K' Steps.
    """
    first = family.transitions - finetuned

    def by(params):
        def step(x, inputs):
            index, draw = inputs
            mean, std = family.transition(params, obs, x, index)
            after = mean + jnp.maximum(std, min_std) * draw
            return after, Steps(x, after, mean, std)

        return step

    draws, index = normal[1:], jnp.arange(family.transitions)
    x = normal[0]
    if first:
        x, _ = jax.lax.scan(lambda x, inputs: (by(frozen)(x, inputs)[0], None), x, (index[:first], draws[:first]))
    return jax.lax.scan(by(params), x, (index[first:], draws[first:]))


def again(family: Family, params: Params, obs: jax.Array, before: jax.Array, after: jax.Array) -> Steps:
    """The last K' steps before -> after, both (K', T, A), with the means and stds that `params` give them; obs (O,)."""
    index = jnp.arange(family.transitions - len(before), family.transitions)
    mean, std = jax.vmap(family.transition, (None, None, 0, 0))(params, obs, before, index)
    return Steps(before, after, mean, std)


def log_prob(steps: Steps, min_std: float) -> jax.Array:
    """(K',), each step's log density, summed over T and A, with stds of at least min_std > 0."""
    return jax.vmap(losses.gaussian_log_prob)(steps.after, steps.mean, jnp.maximum(steps.std, min_std))
