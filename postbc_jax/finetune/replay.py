"""Replay: a ring of transitions for ONE environment, batched with vmap; what sac learns from.

brax's UniformSamplingQueue with another write: its own makes room by rolling the whole buffer under a cond, which
vmap turns into a roll of everything at every insertion.
"""

from typing import TypeVar

import jax.numpy as jnp
from brax.training.replay_buffers import ReplayBufferState, UniformSamplingQueue

Sample = TypeVar('Sample')


class Ring(UniformSamplingQueue[Sample]):
    """The newest `max_replay_size` samples, overwritten oldest first.

    Positions count all samples ever inserted: those held are [sample_position, insert_position), each in the row of
    its count modulo the size, where brax's own sample_internal (indices wrap) finds it. Under vmap and jit use
    insert_internal and sample_internal, which keep no Python state.
    """

    def insert_internal(self, buffer_state: ReplayBufferState, samples: Sample) -> ReplayBufferState:
        """Writes samples (n, ...) over the oldest rows.

        Raises:
          ValueError: n is larger than the ring.
        """
        size = self._data_shape[0]
        update = self._flatten_fn(samples)
        if len(update) > size:
            raise ValueError(f'{len(update)} samples do not fit into a replay ring of {size}')
        rows = (buffer_state.insert_position + jnp.arange(len(update))) % size
        inserted = buffer_state.insert_position + len(update)
        return buffer_state.replace(
            data=buffer_state.data.at[rows].set(update),
            insert_position=inserted,
            sample_position=jnp.maximum(0, inserted - size),
        )
