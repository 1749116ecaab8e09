"""The arm that is no fit to noised demonstrations: ValueDICE, at every seed, a population and a stage of its own.

Called by launch.pipeline after the other arms' pretraining.
"""

import jax
import numpy as np
from jax.sharding import PartitionSpec as P

from launch import config as settings
from launch.demonstrations import Learning
from launch.point import Point
from postbc_jax import loop, parallel
from postbc_jax.policies import Policy, PolicyConfig
from postbc_jax.value_dice import ValueDICEData, value_dice

NAME = 'value_dice'


def fit(point: Point, learning: Learning, labels: list[dict], policy: PolicyConfig) -> Policy:
    """Trains one policy a label, on its seed's demonstrations, from the parameters with which the seed's bc begins.

    Args:
      point, learning: the point's.
      labels: of L learners.
      policy: as the other arms'.

    Returns:
      The policies (L, ...), numpy.
    """
    stage, keys, shared = prepare(point, learning, labels, policy)
    outcome = point.run(stage, keys, shared)
    return parallel.gather(stage.trainer.policy(outcome.state, shared), len(labels))


def prepare(
    point: Point, learning: Learning, labels: list[dict], policy: PolicyConfig
) -> tuple[loop.Stage, jax.Array, ValueDICEData]:
    """What `fit` runs: the stage, its keys and its data."""
    config = settings.value_dice(point.config, policy)
    chunks = settings.chunks(point.config, NAME)
    stage = point.stage(NAME, value_dice(config), labels, chunks, config.steps_per_chunk, settings.describe(config))
    mesh = stage.mesh
    seeds = [label['seed'] for label in labels]
    shared = ValueDICEData(
        windows=parallel.shard(learning.windows, mesh),
        normaliser=parallel.shard(learning.normaliser, mesh),
        mask=parallel.shard(learning.mask, mesh),
        source=parallel.shard(np.array(seeds, np.int32), mesh, P(parallel.LEARNER)),
    )
    return stage, parallel.learner_keys(point.key('pretrain'), seeds, mesh), shared


def append(policies: Policy, more: Policy) -> Policy:
    """The policies (L, ...) and more (M, ...) of the same kind, (L + M, ...)."""
    return jax.tree.map(lambda *stacks: np.concatenate(stacks), policies, more)
