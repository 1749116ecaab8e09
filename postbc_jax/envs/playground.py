"""The environments of MuJoCo Playground, 'playground:NAME', as tasks of ours.

Its DeepMind Control suite comes with the package. Its manipulation and locomotion environments clone their assets from
the network when they are loaded: they are refused until the assets are there. MJX's own step runs underneath: see
envs.contact for how it can hang on a CPU of few cores (not seen with these environments) and what helps.
"""

import importlib.util
from typing import Any

import jax
from brax.envs.base import Env, State

from postbc_jax.envs.metric_task import MetricTask


class PlaygroundTask(MetricTask):
    """See MetricTask. The observation is the vector, or, of several named ones, 'state'.

    Args (of the constructor):
      name: the name that mujoco_playground.registry knows it by.
      success_metric, success_threshold, below, sparse: MetricTask's.
      horizon: steps of an episode; None for the environment's own episode_length.
      settings: values of the environment's own config (ctrl_dt, sim_dt, ...); 'impl' is 'jax' unless given.

    Raises (in the constructor):
      ValueError: the package or the environment's assets are not there, it has no such environment or setting, or as
        MetricTask.
    """

    def __init__(
        self,
        name: str,
        success_metric: str | None = None,
        success_threshold: float | None = None,
        below: bool = False,
        horizon: int | None = None,
        sparse: bool = True,
        **settings: Any,
    ):
        if importlib.util.find_spec('mujoco_playground') is None:
            raise ValueError(
                f"playground:{name}: the package playground is not installed: pip install 'postbc_jax[playground]'"
            )
        from mujoco_playground import dm_control_suite, registry
        from mujoco_playground._src.mjx_env import MENAGERIE_COMMIT_SHA, MENAGERIE_PATH

        if name not in registry.ALL_ENVS:
            there = ', '.join(sorted(dm_control_suite.ALL_ENVS))
            raise ValueError(f'playground:{name}: no such environment; without further assets there are {there}')
        if name not in dm_control_suite.ALL_ENVS and not MENAGERIE_PATH.exists():
            raise ValueError(
                f'playground:{name}: its assets are not installed: clone github.com/deepmind/mujoco_menagerie at '
                f'{MENAGERIE_COMMIT_SHA[:7]} into {MENAGERIE_PATH}'
            )
        config = registry.get_default_config(name).lock()
        try:
            config.update_from_flattened_dict({'impl': 'jax'} | settings)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'playground:{name}: settings {sorted(settings)}: {error}; it takes {", ".join(sorted(config))}'
            ) from error
        env = WithBraxState(registry.load(name, config=config))
        horizon = config.episode_length if horizon is None else horizon
        super().__init__(f'playground:{name}', env, success_metric, success_threshold, below, horizon, sparse, settings)

    def reseed(self, state: State, rng: jax.Array) -> State:
        """Replaces the raw key (2,) of the dynamics' noise, where there is any."""
        return state.replace(info=state.info | {'rng': rng}) if 'rng' in state.info else state


class WithBraxState(Env):
    """A playground environment as a brax Env: its State's `data` is `pipeline_state`."""

    def __init__(self, playground: Any):
        """Args: playground, an MjxEnv."""
        self.playground = playground

    @property
    def observation_size(self) -> int:
        """Of the vector that is observed."""
        return jax.eval_shape(self.reset, jax.ShapeDtypeStruct((2,), 'uint32')).obs.shape[-1]

    @property
    def action_size(self) -> int:
        """As the playground says."""
        return self.playground.action_size

    @property
    def backend(self) -> str:
        """MJX."""
        return 'mjx'

    def reset(self, rng: jax.Array) -> State:
        """Resets; rng: a raw key (2,)."""
        return self._brax(self.playground.reset(rng))

    def step(self, state: State, action: jax.Array) -> State:
        """Steps. The playground writes into the dictionaries of the state that it is given: it gets copies."""
        from mujoco_playground import State as PlaygroundState

        before = PlaygroundState(
            state.pipeline_state, state.obs, state.reward, state.done, dict(state.metrics), dict(state.info)
        )
        return self._brax(self.playground.step(before, action))

    def _brax(self, state: Any) -> State:
        obs = state.obs['state'] if isinstance(state.obs, dict) and 'state' in state.obs else state.obs
        return State(state.data, obs, state.reward, state.done, state.metrics, state.info)
