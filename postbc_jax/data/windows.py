"""Chunks of actions as index arithmetic over the flat demonstrations; a chunk never crosses an episode.

Between Demos and everything that trains on them: the ensemble and the policies take (obs, chunk) by step index.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from postbc_jax.data.normaliser import Normaliser
from postbc_jax.types import Array, Demos


@struct.dataclass
class Windows:
    """The N windows of the demonstrations, one a step, normalised to [-1, 1].

    Attributes:
      obs: float32 (N, O).
      actions: float32 (N, A).
      last: int32 (N,), index of the last step of the step's episode.
      time: int32 (N,), steps since the episode's start.
      episode: int32 (N,).
      chunk: T, actions a window.
    """

    obs: Array
    actions: Array
    last: Array
    time: Array
    episode: Array
    chunk: int = struct.field(pytree_node=False)

    def take(self, i: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Windows at steps i (...), int: obs (..., O) and chunk (..., T, A) = actions i, ..., i + T - 1.

        Past the episode's end the chunk repeats the episode's last action.
        """
        i = jnp.asarray(i)
        steps = jnp.minimum(i[..., None] + jnp.arange(self.chunk), jnp.asarray(self.last)[i][..., None])
        return jnp.asarray(self.obs)[i], jnp.asarray(self.actions)[steps]


def windows(demos: Demos, normaliser: Normaliser, chunk: int) -> Windows:
    """Windows of `chunk` actions, as numpy arrays: put them on the devices with parallel.shard.

    Raises:
      ValueError: chunk < 1.
    """
    if chunk < 1:
        raise ValueError(f'chunk={chunk}: a window holds at least one action')
    episode = np.asarray(demos.episode, np.int32)
    bounds = np.searchsorted(episode, np.arange(demos.episodes + 1)).astype(np.int32)  # starts, then N
    return Windows(
        obs=np.asarray(normaliser.obs(np.asarray(demos.obs)), np.float32),
        actions=np.asarray(normaliser.action(np.asarray(demos.actions)), np.float32),
        last=bounds[episode + 1] - np.int32(1),
        time=np.arange(len(episode), dtype=np.int32) - bounds[episode],
        episode=episode,
        chunk=chunk,
    )
