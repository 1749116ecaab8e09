"""The stages of a point on chips that are only described: every population, its mesh and the shapes of what it reads.

Between launch.pipeline, whose stages these are, and launch.compile_ahead, which compiles them. Nothing is trained.
"""

import dataclasses
import importlib.util
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import topologies

from launch import calibration, demonstrations, finetuners, finetuning, fold, handover, populations, slices, value_dice
from launch import config as settings
from launch.demonstrations import Learning
from launch.finetuners import Finetuner
from launch.point import Point
from postbc_jax import checkpoint, loop, parallel
from postbc_jax.policies import Policy
from postbc_jax.posterior import noise
from postbc_jax.types import Demos


class Described(NamedTuple):
    """A stage, and the shapes of what loop.run is given for it."""

    stage: loop.Stage
    keys: Any
    data: Any

    @property
    def state(self) -> Any:
        return parallel.abstract_state(self.stage.trainer, self.stage.mesh, self.keys, self.data)


def chips(topology: str) -> list[jax.Device]:
    """The chips of 'v5e:16x16', as libtpu describes them on a machine without any.

    Raises:
      ValueError: there is no such slice, or no libtpu.
    """
    asked = slices.parse(topology)
    if not importlib.util.find_spec('libtpu'):
        raise ValueError(f'--topology={topology}: libtpu is not installed: make install-tpu, then .venv-tpu/bin/python')
    # Or libtpu asks the network what machine this is, and of two processes lets one alone have the TPUs.
    here = {'TPU_SKIP_MDS_QUERY': '1', 'TPU_ACCELERATOR_TYPE': 'v5litepod-8', 'TPU_WORKER_HOSTNAMES': 'localhost'}
    for name, value in (here | {'ALLOW_MULTIPLE_LIBTPU_LOAD': '1'}).items():
        os.environ.setdefault(name, value)
    one = {'chips_per_host_bounds': (*asked.sides, 1)} if asked.hosts == 1 and len(asked.sides) == 2 else {}
    try:
        described = topologies.get_topology_desc(topology, 'tpu', **one)
    except jax.errors.JaxRuntimeError as error:
        raise ValueError(f'--topology={topology}: libtpu knows no such slice: {str(error).splitlines()[0]}') from error
    return list(described.devices)


def learning(point: Point) -> tuple[Learning, str]:
    """What would be learnt from, and where it comes from in words: config.demos, or blank demonstrations of the size
    that would be recorded."""
    config = settings.at_point(point.config, {'betas': ()})  # blank ones are all alike: nothing could weigh them
    if config.demos:
        demos = demonstrations.demonstrations(point)
        return demonstrations.prepare(point, demos), f'{len(demos.obs)} steps of {config.demos}'
    episodes, horizon = config.record.episodes, point.env.horizon
    episode = np.repeat(np.arange(episodes, dtype=np.int32), horizon)
    last = (np.arange(episodes * horizon) % horizon == horizon - 1).astype(np.float32)
    blank = Demos(
        obs=np.zeros((len(episode), point.env.observation_size), np.float32),
        actions=np.zeros((len(episode), point.env.action_size), np.float32),
        rewards=last,
        dones=last,
        episode=episode,
        names=tuple(f'demo_{i}' for i in range(episodes)),
    )
    said = f'{episodes} recorded episodes of at most {horizon} steps, {len(episode)} in all'
    return demonstrations.prepare(dataclasses.replace(point, config=config), blank), said


def stages(point: Point, learning: Learning, part: str = '') -> Iterator[Described]:
    """Every stage that launch.pipeline would train, in its order.

    Args:
      point: with the chips as its devices.
      learning: from `learning`.
      part: 'posterior' for that alone, else as launch.run's --stage.
    """
    config = point.config
    if part == 'finetune' or config.init_from:
        policies, labels = checkpoint.load_policies(handover.find(config.init_from or str(point.directory)))
    else:
        of_all = 'posterior', demonstrations.sources(point), config.posterior.members
        posterior = Described(*populations.prepare_members(point, learning, *of_all))
        yield posterior
        if part == 'posterior':
            return
        if settings.calibrates(config):
            yield from (Described(*asked) for asked in calibration.stages(point, learning))
        everyone = [(seed, recipe) for seed in range(config.seeds) for recipe in fold.recipes(config)]
        together = [(seed, recipe) for seed, recipe in everyone if recipe.arm.pretrain != value_dice.NAME]
        alone = [(seed, recipe) for seed, recipe in everyone if recipe.arm.pretrain == value_dice.NAME]
        labels = [recipe.label(seed) for seed, recipe in together + alone]
        factors = _factors(posterior, learning)
        asked = 'pretrain', together, labels[: len(together)]
        pretraining = Described(*populations.prepare_policies(point, learning, factors, *asked))
        yield pretraining
        policies = jax.eval_shape(pretraining.stage.trainer.policy, pretraining.state, pretraining.data)
        if alone:
            yield Described(*value_dice.prepare(point, learning, labels[len(together) :], policies.config))
        policies = jax.tree.map(lambda x: jax.ShapeDtypeStruct((len(labels), *x.shape[1:]), x.dtype), policies)
    for algorithm in settings.algorithms(config) if part != 'pretrain' else ():
        yield from _finetuning(point, finetuners.finetuner(config, algorithm), learning, labels, policies)


def _finetuning(
    point: Point, finetuner: Finetuner, learning: Learning, labels: list[dict], policies: Policy
) -> Iterator[Described]:
    if finetuner.meta['algorithm'] == 'best_of_n' and point.config.best_of_n.rollouts:
        raise ValueError(
            f'config.best_of_n.rollouts={point.config.best_of_n.rollouts}: logged rollouts are scaled by policies that '
            'are not there yet: compile without them'
        )
    stage, everyone = finetuning.prepare(point, finetuner, labels, policies)
    critics = None
    if finetuning.warms(point, finetuner):
        before, known = finetuning.prepare_warm_start(point, finetuner, everyone, learning)
        fitting = Described(before, everyone.keys, known)
        yield fitting
        critics = fitting.state.params
    of_shape = finetuner._replace(critic_action='chunk')  # which is of the noise's shape, and nothing to invert
    yield Described(stage, everyone.keys, finetuning.begin_with(point, of_shape, everyone, learning, critics))


def _factors(posterior: Described, learning: Learning) -> jax.ShapeDtypeStruct:
    """The shape (S, M, R, T, A) of the covariance's factors at the steps of every seed's demonstrations."""
    seeds, longest = len(learning.mask), int(learning.mask.sum(axis=1).max())
    members = posterior.stage.learners // seeds
    predictors = jax.eval_shape(posterior.stage.trainer.policy, posterior.state, posterior.data)
    of_seed = jax.tree.map(lambda x: jax.ShapeDtypeStruct((members, *x.shape[1:]), x.dtype), predictors)
    factors = jax.eval_shape(noise.factors, of_seed, learning.windows.obs[:longest])
    return jax.ShapeDtypeStruct((seeds, *factors.shape), factors.dtype)
