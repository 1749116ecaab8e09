"""Training episodes: what the finetuners say about the episodes that ended while they learned.

Sums first, means last, so that iterations in which nothing ended do not count.
"""

import jax
import jax.numpy as jnp

from postbc_jax import parallel
from postbc_jax.types import Metrics


def fields(info: dict) -> tuple[str, ...]:
    """What the trainers keep of each step's info; 'played' is there where an action is a chunk."""
    return tuple(name for name in ('truncation', 'episode_metrics', 'played') if name in info)


def totals(done: jax.Array, state_extras: dict, environments: int) -> Metrics:
    """Inside pmap: sums over all environments of one learner, on every device the same.

    Args:
      done: (..., E) with this device's E environments, 1 where an episode ended.
      state_extras: what acting.actor_step kept of info (see `fields`), each (..., E).
      environments: of the learner, over all devices.

    Returns:
      episodes, success and reward (summed over ended episodes), steps (played in the environment).
    """
    ended = state_extras['episode_metrics']
    played = state_extras.get('played', jnp.ones_like(done))
    sums = {
        'episodes': done.sum(),
        'success': (done * ended['success']).sum(),
        'reward': (done * ended['sum_reward']).sum(),
        'steps': played.sum().astype(jnp.float32),
    }
    devices = environments // parallel.local_rows(environments)
    return jax.tree.map(lambda x: x * devices, parallel.data_mean(sums))


def means(totals: Metrics) -> Metrics:
    """Sums (n,) over n iterations -> episodes, and success and reward per ended episode (0 where none ended)."""
    episodes = totals['episodes'].sum()
    return {
        'episodes': episodes,
        'success': totals['success'].sum() / jnp.maximum(episodes, 1),
        'reward': totals['reward'].sum() / jnp.maximum(episodes, 1),
    }
