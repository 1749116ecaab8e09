"""Policy: what pretraining hands to finetuning and evaluation, called as brax calls policies.

Parameters, normaliser and config travel together, so that nothing else is needed to act in an environment's own units.
"""

import dataclasses

import jax
from flax import struct

from postbc_jax.data.normaliser import Normaliser
from postbc_jax.policies.config import PolicyConfig
from postbc_jax.policies.family import build
from postbc_jax.types import Params

FLAGS = ('outside', 'strange')  # what a guard says of a decision, 1 or 0: see Policy.admit


@struct.dataclass
class Policy:
    """A pretrained policy for ONE observation at a time (batch with vmap, stacks of policies too).

    Attributes:
      params: of the family's network.
      normaliser: of the demonstrations it was fitted to.
      config: rebuilds the family.
    """

    params: Params
    normaliser: Normaliser
    config: PolicyConfig = struct.field(pytree_node=False)

    def __call__(self, obs: jax.Array, key: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        """obs (O,) -> chunk (T, A) in environment units, decoded from fresh noise ~ N(0, I), and {'noise': (T, A)}."""
        noise = jax.random.normal(key, build(self.config).noise_shape)
        return self.decode(obs, noise), {'noise': noise}

    def decide(self, obs: jax.Array, noise: jax.Array) -> tuple[jax.Array, dict]:
        """obs (O,), noise (T, A), normalised -> the chunk (T, A) that is played, normalised, and what is said of it."""
        return self.admit(obs, self.decode_normalised(obs, noise))

    def admit(self, obs: jax.Array, chunk: jax.Array) -> tuple[jax.Array, dict]:
        """What of a chunk is played, however it was made: all of it, and nothing is said. A guard's is another,
        and it says {'guard': {...}}, the FLAGS among it."""
        del obs
        return chunk, {}

    def with_steps(self, steps: int) -> 'Policy':
        """The policy with so many denoising steps."""
        return self.replace(config=dataclasses.replace(self.config, inference_steps=steps))

    def decode(self, obs: jax.Array, noise: jax.Array) -> jax.Array:
        """obs (O,), noise (T, A) -> the chunk (T, A) it stands for, in environment units."""
        return self.normaliser.unnormalise_action(self.decode_normalised(self.normaliser.obs(obs), noise))

    def decode_normalised(self, obs: jax.Array, noise: jax.Array) -> jax.Array:
        """The same between the normaliser's two ends: obs (O,) normalised -> chunk (T, A) normalised."""
        return build(self.config).decode(self.params, obs, noise)
