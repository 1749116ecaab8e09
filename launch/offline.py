"""Trajectories as transitions for the finetuners: a point's demonstrations, and files of logged rollouts.

Between demonstrations and finetuning: what offline_share, a warm start and Best-of-N may learn from beside rollouts.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import PartitionSpec as P

from launch import config as settings
from launch.demonstrations import Learning
from launch.point import Point
from postbc_jax import data, parallel
from postbc_jax.data import validate
from postbc_jax.finetune.decoding import decode
from postbc_jax.finetune.invert import NEAR, invert
from postbc_jax.finetune.transitions import Transitions, from_demos
from postbc_jax.policies import Policy


def demonstrated(learning: Learning, policies: Policy, rewarded: Any) -> Transitions:
    """The decisions of all demonstrations, numpy (N, ...); their seeds' masks say whose they are.

    Args:
      learning: the point's.
      policies: (L, ...), for their chunk.
      rewarded: a finetuner's settings: its `reward` and `discount`.

    Raises:
      ValueError: the file does not say what was rewarded.
    """
    chunk = policies.config.chunk
    return from_demos(learning.demos, learning.path, learning.normaliser, chunk, rewarded.reward, rewarded.discount)


def of_learners(
    point: Point,
    learning: Learning,
    labels: Sequence[dict],
    policies: Policy,
    rewarded: Any,
    critic_action: str,
    mesh: jax.sharding.Mesh,
) -> Transitions:
    """Every learner's own demonstrations, (L, N, ...): the others weigh 0.

    Args:
      point, learning: the point's.
      labels: of L learners.
      policies: (L, ...), on the mesh.
      rewarded: the finetuner's settings.
      critic_action: 'noise' finds, for each learner, the noise that its policy makes the chunks of.
      mesh: of the learners.
    """
    known = demonstrated(learning, policies, rewarded)
    mask = learning.mask[[label['seed'] for label in labels]]
    every = jax.tree.map(lambda x: np.broadcast_to(x, (len(labels), *np.shape(x))), known)
    every = every.replace(weight=every.weight * mask)
    if critic_action == 'noise':
        bound = point.config.finetune.bound
        found = parallel.pmap(
            lambda policy, key, obs, chunk: invert(partial(decode, policy), obs, chunk, key, bound),
            mesh,
            (P(parallel.LEARNER), P(parallel.LEARNER), P(), P()),
            P(parallel.LEARNER),
        )
        keys = parallel.learner_keys(point.key('invert'), [label['seed'] for label in labels], mesh)
        inverse = parallel.gather(found(policies, keys, *parallel.shard((known.obs, known.chunk), mesh)), len(labels))
        share = np.average(inverse.error <= NEAR, weights=mask)
        point.progress.note(f'note: {100 * share:.0f}% of the demonstrated chunks are made again from noise')
        every = every.replace(noise=inverse.noise)
    return parallel.shard(every, mesh, P(parallel.LEARNER))


def logged(point: Point, path: str, policies: Policy, rewarded: Any) -> Transitions:
    """The decisions of a file of logged rollouts with rewards, numpy (n, ...), scaled as the policies scale.

    Raises:
      ValueError: the file cannot be used in this environment, or says nothing of rewards.
    """
    demos = data.load(path, settings.obs_keys(point.config), None, point.config.action_bound or None)
    validate.check_env(demos, point.env.observation_size, point.env.action_size, path)
    scaling = jax.tree.map(lambda x: np.asarray(x)[0], policies.normaliser)  # one for all arms and seeds
    return from_demos(demos, path, scaling, policies.config.chunk, rewarded.reward, rewarded.discount)
