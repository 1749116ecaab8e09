"""Scripted operators: the contract that envs.record plays, and the demonstrators of the manipulation tasks.

They stand in for people at the head of the pipeline; demonstrations made with them are always called scripted.

The contract. An operator is a frozen dataclass of numbers (flax.struct, so a pytree), for ONE environment:

    @struct.dataclass
    class Steady(Operator):
        gain: float = 0.6

        def init(self, state, key):                 # memory at the start of an episode: any pytree, () where none
            return ()

        def __call__(self, state, memory, key):     # -> action (A,) in [-1, 1], memory of the same shapes
            action = jnp.clip(self.gain * error(state), -1, 1)
            return action + self.noise * jax.random.normal(key, action.shape), memory

- The operators of one environment are ONE class with different numbers: `record` stacks them, so that episodes by all
  of them are one compiled, vmapped rollout. Numbers are floats or ints (leaves); no strings, no static fields.
- `state` is the brax State of the bare environment: an operator may read `pipeline_state`, it need not live on `obs`.
- `noise` is the one setting every operator has: at 0 (the default) it is a deterministic function of state and memory
  and ignores its keys; above 0 it is the standard deviation, in action units, of what it does differently each time.
  `record(..., noise)` sets it. `record` clips actions to [-1, 1] and writes down the clipped ones.
- `env.operators()` returns {name: operator}, in the order in which `record` takes turns.
"""

from typing import Any

import jax
from brax.envs.base import State
from flax import struct

Memory = Any  # a pytree of arrays


@struct.dataclass
class Operator:
    """A scripted demonstrator of one environment; see the contract at the top of this file.

    Attributes:
      noise: standard deviation, in action units, of what differs from time to time; 0 is deterministic.
    """

    noise: float = 0.0

    def init(self, state: State, key: jax.Array) -> Memory:
        """The memory at the start of an episode; key is typed."""
        raise NotImplementedError

    def __call__(self, state: State, memory: Memory, key: jax.Array) -> tuple[jax.Array, Memory]:
        """The action (A,) and the memory for the next step; key is typed and new at every step."""
        raise NotImplementedError
