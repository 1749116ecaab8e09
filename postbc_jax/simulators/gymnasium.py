"""Any Gymnasium environment with vector observations and actions, as a simulator."""

import importlib.util
from typing import Any

import gymnasium
import numpy as np

from postbc_jax.simulators.simulator import Spec, Step

SUCCESS_KEYS = ('is_success', 'success')


def make(
    id: str,
    arguments: dict[str, Any] | None = None,
    obs_keys: list[str] | None = None,
    success_key: str | None = None,
    success: str | None = None,
) -> 'GymnasiumSimulator':
    """One instance of gymnasium.make(id), without its own time limit: `horizon` is the adapter's.

    Args:
      id: as gymnasium.make takes it, 'module:Name-v0' too.
      arguments: of the environment.
      obs_keys: which parts of a dict observation, in which order; all of them, in the space's, where none are given.
      success_key: of info, whose truth is success; the first of SUCCESS_KEYS that a step has where none is given.
      success: 'module:function' instead, called with (unwrapped env, info) after every step.

    Raises:
      ValueError: no such environment, or one whose observations or actions are not vectors.
    """
    return GymnasiumSimulator(id, arguments or {}, obs_keys, success_key, success)


class GymnasiumSimulator:
    """See make."""

    def __init__(self, id, arguments, obs_keys, success_key, success):
        register(id)
        try:
            self.env = gymnasium.make(id, max_episode_steps=-1, disable_env_checker=True, **arguments)
        except gymnasium.error.Error as error:
            raise ValueError(f'gymnasium.make({id!r}) fails: {error}') from error
        space = self.env.observation_space
        self.is_dict = isinstance(space, gymnasium.spaces.Dict)
        parts = dict(space.spaces) if self.is_dict else {'obs': space}
        self.keys = tuple(obs_keys or parts)
        for key in self.keys:
            if key not in parts:
                raise ValueError(f'{id}: obs_keys has {key!r}; its observation has {", ".join(parts)}')
            if not isinstance(parts[key], gymnasium.spaces.Box) or len(parts[key].shape) != 1:
                raise ValueError(f'{id}: observation {key!r} is {parts[key]}, not a vector: leave it out of obs_keys')
        action = self.env.action_space
        if not isinstance(action, gymnasium.spaces.Box) or len(action.shape) != 1:
            raise ValueError(f'{id}: its action is {action}, not a vector')
        self.success_key = success_key
        self.judge = _function(success) if success else None
        self.spec = Spec(
            obs_keys=tuple((key, parts[key].shape[0]) for key in self.keys),
            action_low=tuple(map(float, action.low)),
            action_high=tuple(map(float, action.high)),
            horizon=gymnasium.spec(id.rpartition(':')[2]).max_episode_steps,
            env_args={
                'env_name': id,
                'env_version': gymnasium.__version__,
                'type': 'gymnasium',
                'env_kwargs': arguments,
            },
        )

    def reset(self, seed: int) -> np.ndarray:
        obs, _ = self.env.reset(seed=seed)
        return self._vector(obs)

    def step(self, action: np.ndarray) -> Step:
        obs, reward, terminated, truncated, info = self.env.step(action.astype(self.env.action_space.dtype))
        return Step(self._vector(obs), float(reward), bool(terminated), bool(truncated), self._success(info))

    def _vector(self, obs: Any) -> np.ndarray:
        parts = [obs[key] for key in self.keys] if self.is_dict else [obs]
        return np.concatenate([np.asarray(part, np.float32) for part in parts])

    def _success(self, info: dict[str, Any]) -> bool:
        if self.judge is not None:
            return bool(self.judge(self.env.unwrapped, info))
        if self.success_key is None:
            self.success_key = next((key for key in SUCCESS_KEYS if key in info), None)
        if self.success_key not in info:
            raise ValueError(
                f'info has no {self.success_key or " or ".join(SUCCESS_KEYS)}, only {", ".join(map(str, info))}: '
                'name what says success by --config.env_settings.success_key, or give a function by '
                '--config.env_settings.success=MODULE:FUNCTION'
            )
        success = np.asarray(info[self.success_key])
        if success.size != 1:
            raise ValueError(
                f'info[{self.success_key!r}] is {success.tolist()}, not one truth value: give a function of it by '
                '--config.env_settings.success=MODULE:FUNCTION'
            )
        return bool(success)


def register(id: str) -> None:
    """Imports gymnasium_robotics, where it is installed, for an id that gymnasium itself does not bring."""
    if ':' not in id and id not in gymnasium.registry and importlib.util.find_spec('gymnasium_robotics'):
        gymnasium.register_envs(importlib.import_module('gymnasium_robotics'))


def _function(path: str):
    module, _, name = path.partition(':')
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f'success={path!r} is not MODULE:FUNCTION: {error}') from error
