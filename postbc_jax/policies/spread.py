"""What a policy plays at given states: its decoded chunks, and how much noise is in them, their spread.

After pretraining, beside posterior.noise.scale, which says how much noise it was trained on: a sampler of few steps, a
network that errs and a bound on the chunks make the two differ.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from postbc_jax.policies.family import build
from postbc_jax.policies.policy import Policy


def draws(policy: Policy, obs: jax.Array, key: jax.Array, number: int, rows: int = 64) -> jax.Array:
    """Chunks that one policy decodes at each state from noise ~ N(0, I), each state's its own.

    Args:
      policy: one policy.
      obs: (M, O), normalised.
      key: typed key.
      number: D, chunks a state.
      rows: states at a time.

    Returns:
      (M, D, T, A), in normalised action units.
    """
    return _at_each(policy, obs, key, number, rows, lambda chunks: chunks)


def spread(policy: Policy, obs: jax.Array, key: jax.Array, draws: int = 16, rows: int = 64) -> jax.Array:
    """The standard deviation over noise ~ N(0, I) of the chunks that one policy decodes at each state.

    Args:
      policy, obs, key, rows: as for `draws`, whose chunks these are.
      draws: decoded chunks a state. Their variance is unbiased: a root mean square over many states needs few.

    Returns:
      (M, T, A), in normalised action units.

    Raises:
      ValueError: draws < 2.
    """
    if draws < 2:
        raise ValueError(f'draws={draws}: a spread needs at least 2')
    return _at_each(policy, obs, key, draws, rows, lambda chunks: chunks.std(axis=0, ddof=1))


def _at_each(
    policy: Policy, obs: jax.Array, key: jax.Array, number: int, rows: int, of: Callable[[jax.Array], jax.Array]
) -> jax.Array:
    """of(chunks (D, T, A)) at each state, (M, ...); the chunks of `rows` states alone are in memory at once."""
    family = build(policy.config)

    def at(inputs):
        index, s = inputs
        z = jax.random.normal(jax.random.fold_in(key, index), (number, *family.noise_shape))
        return of(jax.vmap(lambda one: family.decode(policy.params, s, one))(z))

    return jax.lax.map(at, (jnp.arange(obs.shape[0]), obs), batch_size=min(rows, obs.shape[0]))
