"""What every built-in environment is: a brax Env of one task, with robomimic's description of itself.

The environments stand beside the policies: demonstrations are recorded in them, finetuning and evaluation roll in them.
"""

import abc
from typing import Any, ClassVar

import jax
from brax.envs.base import Env, State

from postbc_jax.envs.operators import Operator


class Task(Env):
    """A brax Env, for one environment (batch with vmap), whose success is sparse.

    `step` gives reward 1 and done 1 at the step that succeeds, and done 1 with reward 0 where the attempt is spoilt.
    `state.metrics['success']` is in {0., 1.}; `state.info['region']` is an int32 index into `regions`, drawn at reset.
    Time-outs belong to the EpisodeWrapper (see envs.wrappers.wrap).

    Attributes:
      name: the name that envs.make knows it by.
      obs_keys: ((name, dimension), ...) in the order in which `obs` concatenates them.
      regions: names of the initial-state regions.
      horizon: steps after which an episode has failed.
    """

    name: ClassVar[str]
    obs_keys: ClassVar[tuple[tuple[str, int], ...]]
    regions: ClassVar[tuple[str, ...]] = ('all',)
    horizon: int

    @property
    def observation_size(self) -> int:
        """O, the sum of the dimensions of `obs_keys`."""
        return sum(size for _, size in self.obs_keys)

    @property
    def backend(self) -> str:
        """No physics pipeline of brax runs underneath."""
        return 'kinematic'

    @abc.abstractmethod
    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types: make(name, **settings) is the same environment."""

    @abc.abstractmethod
    def operators(self) -> dict[str, Operator]:
        """The scripted demonstrators of this task by name; see envs.operators."""

    def env_args(self) -> dict[str, Any]:
        """The description that robomimic files carry under `env_args`."""
        return {'env_name': self.name, 'env_version': '1', 'type': 'brax', 'env_kwargs': self.settings()}

    def reseed(self, state: State, rng: jax.Array) -> State:
        """The same start with another future: replaces the raw key (2,) of the dynamics' noise, where there is any.

        Several copies of one start are given different noise by reseeding each; deterministic tasks return the state.
        """
        if not hasattr(state.pipeline_state, 'rng'):
            return state
        return state.replace(pipeline_state=state.pipeline_state.replace(rng=rng))
