"""A frozen policy's decoder as the finetuners use it: flat and normalised on either side.

Between policies and finetune: dsrl_na learns values of what it gives, invert finds the noise that it was given.
"""

import jax

from postbc_jax.policies import Policy


def decode(policy: Policy, obs: jax.Array, noise: jax.Array) -> jax.Array:
    """obs (O,) normalised and noise (T*A,) -> the chunk (T*A,), normalised."""
    config = policy.config
    return policy.decode_normalised(obs, noise.reshape(config.chunk, config.action_size)).ravel()
