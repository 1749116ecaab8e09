"""How much noise a policy plays: the spread of its decoded chunks at a state.

After pretraining, beside posterior.noise.scale, which says how much noise it was trained on: a sampler of few steps, a
network that errs and a bound on the chunks make the two differ.
"""

import jax
import jax.numpy as jnp

from postbc_jax.policies.family import build
from postbc_jax.policies.policy import Policy


def spread(policy: Policy, obs: jax.Array, key: jax.Array, draws: int = 16, rows: int = 64) -> jax.Array:
    """The standard deviation over noise ~ N(0, I) of the chunks that one policy decodes at each state.

    Args:
      policy: one policy.
      obs: (M, O), normalised.
      key: typed key; each state has its own noise.
      draws: decoded chunks a state. Their variance is unbiased: a root mean square over many states needs few.
      rows: states at a time.

    Returns:
      (M, T, A), in normalised action units.

    Raises:
      ValueError: draws < 2.
    """
    if draws < 2:
        raise ValueError(f'draws={draws}: a spread needs at least 2')
    family = build(policy.config)

    def at(inputs):
        index, s = inputs
        z = jax.random.normal(jax.random.fold_in(key, index), (draws, *family.noise_shape))
        return jax.vmap(lambda one: family.decode(policy.params, s, one))(z).std(axis=0, ddof=1)

    return jax.lax.map(at, (jnp.arange(obs.shape[0]), obs), batch_size=min(rows, obs.shape[0]))
