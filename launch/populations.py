"""The two populations of pretraining: ensemble members and policies, each on a source of demonstrations of its own.

Below launch.pipeline, whose sources are the seeds' demonstrations, and launch.calibration, whose sources leave some of
them out. A learner's random numbers are its seed's: on another source it is the same learner with other data.
"""

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import PartitionSpec as P

from launch import config as settings
from launch.demonstrations import Learning
from launch.fold import Recipe
from launch.point import Point
from postbc_jax import loop, parallel
from postbc_jax import pretrain as pretraining
from postbc_jax.policies import Policy
from postbc_jax.posterior import ensemble, noise
from postbc_jax.posterior.ensemble import Predictor


def fit_members(
    point: Point, learning: Learning, name: str, sources: Sequence[dict], members: int, at: Sequence[np.ndarray]
) -> np.ndarray:
    """Trains the ensembles of all sources as one population; returns factors (G, M, R, T, A) of their covariances.

    Args:
      point, learning, name, sources, members: as for `prepare_members`.
      at: the steps (M_g,) at which each source's are wanted. M is the most of them; one with fewer repeats its last.
    """
    predictors = fit_predictors(point, learning, name, sources, members)
    found = []
    for index, steps in enumerate(padded(at)):  # one compiled program
        own = jax.tree.map(lambda x, i=index: x[i], predictors)
        found.append(np.asarray(noise.factors(own, learning.windows.obs[steps])))
    return np.stack(found)


def fit_predictors(point: Point, learning: Learning, name: str, sources: Sequence[dict], members: int) -> Predictor:
    """Trains the ensembles of all sources as one population; the members are (G, K, ...), numpy. Arguments as for
    `prepare_members`. A stage that has been trained is read from its checkpoint."""
    stage, keys, shared = prepare_members(point, learning, name, sources, members)
    outcome = point.run(stage, keys, shared)
    predictors = parallel.gather(stage.trainer.policy(outcome.state, shared), stage.learners)
    return jax.tree.map(lambda x: x.reshape(len(sources), members, *x.shape[1:]), predictors)


def padded(steps: Sequence[np.ndarray]) -> np.ndarray:
    """Steps (M_g,) of G sources as (G, M), M the most; fewer repeat their last."""
    longest = max(map(len, steps))
    return np.stack([np.pad(own, (0, longest - len(own)), mode='edge') for own in steps])


def prepare_members(
    point: Point, learning: Learning, name: str, sources: Sequence[dict], members: int
) -> tuple[loop.Stage, jax.Array, dict]:
    """What `fit_members` runs: the stage, its keys and its data.

    Args:
      point: the point.
      learning: its mask has a row a source.
      name: of the stage.
      sources: G labels with a 'seed'.
      members: K of each source.
    """
    ensemble_config = settings.ensemble(point.config)
    population = [(row, member) for row in range(len(sources)) for member in range(members)]
    stage = point.stage(
        name,
        ensemble(ensemble_config),
        [{**sources[row], 'member': member} for row, member in population],
        settings.chunks(point.config, 'posterior'),
        ensemble_config.steps_per_chunk,
        settings.describe(ensemble_config),
        mean_over_learners=True,
    )
    mesh = stage.mesh
    # A member's index does not depend on K: more members are the same ones and others.
    indices = [label['seed'] * 1_000_003 + label['member'] for label in stage.labels]
    keys = parallel.learner_keys(point.key('posterior'), indices, mesh)
    masks = parallel.shard(learning.mask[[row for row, _ in population]], mesh, P(parallel.LEARNER))
    return stage, keys, {'windows': parallel.shard(learning.windows, mesh), 'mask': masks}


def fit_policies(
    point: Point,
    learning: Learning,
    factors: np.ndarray,
    name: str,
    population: Sequence[tuple[int, Recipe]],
    labels: Sequence[dict],
) -> Policy:
    """Trains the policies of a population; they are (L, ...), numpy. Arguments as for `prepare_policies`."""
    stage, keys, shared = prepare_policies(point, learning, factors, name, population, labels)
    outcome = point.run(stage, keys, shared)
    return parallel.gather(stage.trainer.policy(outcome.state, shared), stage.learners)


def prepare_policies(
    point: Point,
    learning: Learning,
    factors: np.ndarray,
    name: str,
    population: Sequence[tuple[int, Recipe]],
    labels: Sequence[dict],
) -> tuple[loop.Stage, jax.Array, pretraining.PretrainData]:
    """What `fit_policies` runs: the stage, its keys and its data.

    Args:
      point: the point.
      learning: its mask and quality have a row a source.
      factors: (G, M, R, T, A) at the steps of every source's demonstrations.
      name: of the stage.
      population: (source, recipe) of each of L learners.
      labels: L, with a 'seed'.
    """
    config = point.config
    pretrain_config = settings.pretrain(
        config, settings.policy(config, point.env.observation_size, point.env.action_size)
    )
    stage = point.stage(
        name,
        pretraining.pretrain(pretrain_config),
        labels,
        settings.chunks(config, 'pretrain'),
        pretrain_config.steps_per_chunk,
        settings.describe(pretrain_config),
    )
    mesh = stage.mesh
    numbers = pretraining.Arm(
        alpha=np.array([recipe.arm.alpha for _, recipe in population], np.float32),
        sigma=np.array([recipe.arm.sigma for _, recipe in population], np.float32),
        learning_rate=np.array([recipe.learning_rate for _, recipe in population], np.float32),
        weight_decay=np.array([recipe.weight_decay for _, recipe in population], np.float32),
        source=np.array([row for row, _ in population], np.int32),
        dropout=np.array([recipe.arm.dropout for _, recipe in population], np.float32),
        beta=np.array([recipe.arm.beta for _, recipe in population], np.float32),
    )
    shared = pretraining.PretrainData(
        windows=parallel.shard(learning.windows, mesh),
        normaliser=parallel.shard(learning.normaliser, mesh),
        factors=parallel.shard(factors, mesh),
        mask=parallel.shard(learning.mask, mesh),
        quality=parallel.shard(learning.quality, mesh),
        arm=parallel.shard(numbers, mesh, P(parallel.LEARNER)),
    )
    keys = parallel.learner_keys(point.key('pretrain'), [label['seed'] for label in labels], mesh)
    return stage, keys, shared
