"""Training episodes: what the finetuners say about the episodes that ended while they learned.

Sums first, means last, so that iterations in which nothing ended do not count.
"""

import jax
import jax.numpy as jnp

from postbc_jax import parallel
from postbc_jax.policies import FLAGS
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
      episodes, success and reward (summed over ended episodes), steps (played in the environment); of a guarded policy
      length (decisions), outside and strange, summed over ended episodes too.
    """
    ended = state_extras['episode_metrics']
    played = state_extras.get('played', jnp.ones_like(done))
    sums = {
        'episodes': done.sum(),
        'success': (done * ended['success']).sum(),
        'reward': (done * ended['sum_reward']).sum(),
        'steps': played.sum().astype(jnp.float32),
    }
    if _guarded(ended):
        sums |= {name: (done * ended[name]).sum() for name in ('length', *FLAGS)}
    devices = environments // parallel.local_rows(environments)
    return jax.tree.map(lambda x: x * devices, parallel.data_mean(sums))


def means(totals: Metrics) -> Metrics:
    """Sums (n,) over n iterations -> episodes, success and reward per ended episode (0 where none ended), and of a
    guarded policy the shares of their decisions that were outside and strange."""
    episodes = totals['episodes'].sum()
    found = {
        'episodes': episodes,
        'success': totals['success'].sum() / jnp.maximum(episodes, 1),
        'reward': totals['reward'].sum() / jnp.maximum(episodes, 1),
    }
    if _guarded(totals):
        decisions = jnp.maximum(totals['length'].sum(), 1)
        found |= {f'{name}_share': totals[name].sum() / decisions for name in FLAGS}
    return found


def _guarded(sums: dict) -> bool:
    return all(name in sums for name in FLAGS)
