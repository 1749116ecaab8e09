"""Best-of-N: the frozen policy draws N chunks, and the one that the fitted critics value most is played.

Made by iql, called as the pretrained policy is. arXiv 2512.16911, App. D.
"""

import jax
import jax.numpy as jnp
from flax import struct

from postbc_jax.finetune import critics
from postbc_jax.policies import Policy
from postbc_jax.types import Params


@struct.dataclass
class BestOfNPolicy:
    """Plays the argmax over N draws of the smaller of two Q heads. Called like the frozen policy.

    The draws are nested: those of a smaller N are the first of a larger one's with the same key, and the first is the
    one that the frozen policy plays, so that N = 1 is the frozen policy itself.

    Attributes:
      policy: the frozen policy.
      params: the Q heads', leaves lead with 2.
      critic_config: what rebuilds their network.
      candidates: N.
    """

    policy: Policy
    params: Params
    critic_config: critics.CriticConfig = struct.field(pytree_node=False)
    candidates: int = struct.field(pytree_node=False)

    def __call__(self, obs: jax.Array, key: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        """obs (O,) in the environment's units -> (chunk (T, A) in the environment's units, {'noise': (T, A)} and
        what is said of the chunk)."""
        if self.candidates == 1:
            return self.policy(obs, key)
        more = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(1, self.candidates))
        chunks, extras = jax.vmap(self.policy, in_axes=(None, 0))(obs, jnp.concatenate([key[None], more]))
        normaliser = self.policy.normaliser

        def value(chunk: jax.Array, noise: jax.Array) -> jax.Array:
            flat = normaliser.action(chunk).ravel()
            q = critics.action_values(self.critic_config, self.params, normaliser.obs(obs), flat, noise.ravel())
            return jnp.min(q)

        best = jnp.argmax(jax.vmap(value)(chunks, extras['noise']))
        return chunks[best], jax.tree.map(lambda x: x[best], extras)
