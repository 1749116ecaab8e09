"""What an envelope catches: the power of its test, where the false-alarm rate is chosen.

Between the envelope and launch.envelopes, which measures it once the bounds are set: few demonstrations, or one odd one
among them, make bounds that flag good decisions as rarely as they should and wild ones hardly more often.
"""

import jax
import jax.numpy as jnp
import numpy as np

from postbc_jax.envelope.envelope import Envelope

DRAWS = 16  # wild chunks at each state


def caught(envelope: Envelope, obs: np.ndarray, key: jax.Array) -> np.ndarray:
    """The share of wild chunks beyond the radius: every entry uniform over the demonstrated range of its dimension.

    Args:
      envelope: ONE learner's.
      obs: (n, O), normalised states.
      key: of the draws.

    Returns:
      (n,), of DRAWS at each state.
    """
    return np.asarray(_caught(envelope, jnp.asarray(obs), key))


@jax.jit
def _caught(envelope: Envelope, obs: jax.Array, key: jax.Array) -> jax.Array:
    config = envelope.guide.config

    def at(s, k):
        chunks = jax.random.uniform(k, (DRAWS, config.chunk, config.action_size), minval=-1.0, maxval=1.0)
        distances = jax.vmap(lambda chunk: envelope.distance(s, chunk))(chunks)
        return jnp.mean(distances > jnp.asarray(envelope.radius)[envelope.context(s)])

    return jax.vmap(at)(obs, jax.random.split(key, len(obs)))
