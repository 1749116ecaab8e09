"""The ensemble that describes demonstrations: Gaussian heads that are told who demonstrates, asked about everybody.

Second step of launch.envelope: a population of the posterior's own trainer on other observations, the state with a one
for the operator. What is said at a demonstration is said by members whose bootstrap lacks it.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from launch import config as settings
from launch.demonstrations import Learning
from launch.point import Point
from launch.populations import prepare_members
from postbc_jax import parallel
from postbc_jax.data.normaliser import Normaliser
from postbc_jax.data.windows import Windows
from postbc_jax.envelope import describe

NAME = 'described'  # of the stage
FEWEST = 16  # members: about a third of them have not seen a given demonstration
_AT_ONCE = 2048  # states that are split together, which bounds the memory
_SEVERAL = 2  # members without a demonstration, below which all are asked about it


class Told(NamedTuple):
    """What is predicted of the first action at all N demonstrated steps, normalised.

    Attributes:
      operators: the names, P; one '' where the file does not say.
      operator: (N,), whose step it is.
      mean, variance: (K, P, N, A), had each operator been there.
      members: (K, N), 1 where the member has not seen the demonstration.
    """

    operators: tuple[str, ...]
    operator: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    members: np.ndarray

    def split(self, weights: np.ndarray) -> describe.Split:
        """describe.split with operators weighing (N, P)."""
        parts = [slice(at, at + _AT_ONCE) for at in range(0, len(self.operator), _AT_ONCE)]
        found = [
            describe.split(self.mean[:, :, at], self.variance[:, :, at], weights[at], self.members[:, at])
            for at in parts
        ]
        return describe.Split(*map(np.concatenate, zip(*found, strict=True)))

    def own(self) -> np.ndarray:
        """(N, P), all weight on who demonstrated."""
        return np.eye(len(self.operators))[self.operator]

    def others(self) -> np.ndarray:
        """(N, P), the same weight on everybody else."""
        return 1.0 - self.own()


def tell(point: Point, learning: Learning) -> Told:
    """Fits the ensemble and asks it.

    Raises:
      loop.Preempted: the run was asked to stop; its state is saved.
    """
    names = tuple(sorted(set(learning.demos.operators))) or ('',)
    demos, windows = learning.demos, learning.windows
    who = np.array([names.index(name) for name in demos.operators] or [0] * demos.episodes)[windows.episode]
    told = learning._replace(windows=_with(windows, who, len(names)))
    gaussian = {'posterior.head': 'gaussian', 'posterior.bootstrap': 'trajectory'}
    point = dataclasses.replace(point, config=settings.at_point(point.config, gaussian))
    members = max(point.config.posterior.members, FEWEST)
    stage, keys, shared = prepare_members(point, told, NAME, [{'seed': 0}], members)
    state = point.run(stage, keys, shared).state
    predictors = parallel.gather(stage.trainer.policy(state, shared), stage.learners)
    unseen = (parallel.gather(state.counts, stage.learners) == 0).astype(float)
    unseen[:, unseen.sum(axis=0) < _SEVERAL] = 1.0
    ask = jax.jit(jax.vmap(lambda member, obs: member.moments(obs), in_axes=(0, None)))
    found = [ask(predictors, _obs(windows.obs, np.full(len(who), p), len(names))) for p in range(len(names))]
    mean, std = (np.stack([np.asarray(one[i])[:, :, 0] for one in found], axis=1) for i in (0, 1))
    return Told(names, who, mean, np.square(std), unseen)


def _with(windows: Windows, who: np.ndarray, operators: int) -> Windows:
    """Single actions, their states with a one for the operator where there are several."""
    return windows.replace(obs=_obs(windows.obs, who, operators), chunk=1)


def _obs(obs: np.ndarray, who: np.ndarray, operators: int) -> np.ndarray:
    return np.concatenate([obs, np.eye(operators, dtype=np.float32)[who]], axis=1) if operators > 1 else np.asarray(obs)


def in_action_units(variance: np.ndarray, normaliser: Normaliser) -> np.ndarray:
    """Variances (..., A) in squared action units."""
    return variance * np.asarray(jnp.square(normaliser.action_scale()))
