"""What may be changed of a finetuning run while it goes on: data of each learner, so that nothing is compiled again.

Finetuning: the trainers read it off what their learner begins with; `controlled` keeps it in the state, and whoever
watches a run (a monitor, a curriculum) sets it between chunks.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct


@struct.dataclass
class Controls:
    """Of ONE learner; all ().

    Attributes:
      bound: share in (0, 1] of the bound of DSRL's noise that is played; nothing to dppo and ppo.
      learning_rate: factor, at least 0, of every learning rate; at 0 nothing is learnt any more.
      target_entropy: nats added to the target entropy of dsrl_sac and dsrl_na.
      entropy_cost: added to the weight of the entropy in dsrl_ppo, dppo and ppo, which have no target.
      starts: share in (0, 1] of a learner's ordered start states that episodes begin in; at 1 the environment's own.
    """

    bound: jax.Array
    learning_rate: jax.Array
    target_entropy: jax.Array
    entropy_cost: jax.Array
    starts: jax.Array


def neutral() -> Controls:
    """Those that change nothing."""
    one, zero = jnp.float32(1), jnp.float32(0)
    return Controls(bound=one, learning_rate=one, target_entropy=zero, entropy_cost=zero, starts=one)


def of(data: Any) -> Controls | None:
    """Those of what a learner begins with; None where it has none, as a bare policy."""
    return getattr(data, 'controls', None)


def slowed(step: Any, controls: Controls | None) -> Any:
    """An optimiser's step under a learning rate that many times as large: Adam's is proportional to it."""
    return step if controls is None else jax.tree.map(lambda x: controls.learning_rate * x, step)
