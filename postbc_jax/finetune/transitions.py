"""Transitions between decisions that are known before finetuning begins, such as demonstrations' own.

Between data and the off-policy finetuners, which mix them into their replay.
"""

import jax
from flax import struct


@struct.dataclass
class Transitions:
    """n decisions, all normalised as the policy normalises.

    Attributes:
      obs: (n, O), at the decision.
      chunk: (n, D), the flat chunk T*A that was played.
      noise: (n, D), the flat noise from which the policy makes that chunk.
      reward: (n,), over the steps of the chunk.
      discount: (n,), 0 where the task ended, else 1.
      next_obs: (n, O), after the chunk.
      weight: (n,), how often a row counts: 0 for rows that hold nothing.
    """

    obs: jax.Array
    chunk: jax.Array
    noise: jax.Array
    reward: jax.Array
    discount: jax.Array
    next_obs: jax.Array
    weight: jax.Array
