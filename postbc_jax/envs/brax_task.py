"""Any environment of brax as a task of ours: success is a metric of its own that crosses a threshold."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
from brax import envs
from brax.envs.base import State, Wrapper

from postbc_jax.envs.operators import Operator


class BraxTask(Wrapper):
    """A brax environment with metrics['success'], the end of the episode at success, and a sparse reward.

    It has one region, 'all', no scripted operators (demonstrations come from files) and no noise of its own: the
    dynamics are brax's, deterministic once reset.

    Args (of the constructor):
      brax_name: the name that brax.envs knows it by.
      success_metric: a key of its state.metrics, read after every step.
      success_threshold: success is metric >= threshold.
      below: True where success is metric <= threshold instead.
      horizon: steps of an episode.
      sparse: reward 1 at the step that succeeds and 0 elsewhere; False keeps brax's own reward.
      settings: passed to the brax environment ('backend', ...).

    Raises (in the constructor):
      ValueError: brax has no such environment, the environment no such metric or setting, no observation that is one
        vector, or horizon < 1.
    """

    regions = ('all',)

    def __init__(
        self,
        brax_name: str,
        success_metric: str,
        success_threshold: float,
        below: bool = False,
        horizon: int = 1000,
        sparse: bool = True,
        **settings: Any,
    ):
        if brax_name not in envs._envs:
            raise ValueError(f'brax:{brax_name}: no such environment; brax has {", ".join(sorted(envs._envs))}')
        if horizon < 1:
            raise ValueError(f'brax:{brax_name}: horizon={horizon} must be at least 1')
        try:
            inspect.signature(envs._envs[brax_name]).bind(**settings)
        except TypeError as error:
            raise ValueError(f'brax:{brax_name}: settings {sorted(settings)}: {error}') from error
        super().__init__(envs.get_environment(brax_name, **settings))
        self.name = f'brax:{brax_name}'
        self.success_metric, self.success_threshold, self.below = success_metric, float(success_threshold), below
        self.horizon, self.sparse, self._settings = horizon, sparse, settings
        start = jax.eval_shape(self.env.reset, jax.ShapeDtypeStruct((2,), jnp.uint32))
        if success_metric not in start.metrics:
            raise ValueError(
                f'{self.name}: success_metric={success_metric!r} is none of its metrics: {", ".join(start.metrics)}'
            )
        if not hasattr(start.obs, 'shape') or len(start.obs.shape) != 1:
            raise ValueError(f'{self.name}: its observation is not one vector: {jax.tree.map(jnp.shape, start.obs)}')
        self.obs_keys = (('obs', start.obs.shape[0]),)

    def settings(self) -> dict[str, Any]:
        """What make(self.name, **settings) makes it from."""
        own = ('success_metric', 'success_threshold', 'below', 'horizon', 'sparse')
        return {name: getattr(self, name) for name in own} | self._settings

    def env_args(self) -> dict[str, Any]:
        """The description that robomimic files carry under `env_args`."""
        return {'env_name': self.name, 'env_version': '1', 'type': 'brax', 'env_kwargs': self.settings()}

    def operators(self) -> dict[str, Operator]:
        """None: nobody scripted these."""
        return {}

    def reseed(self, state: State, rng: jax.Array) -> State:
        """The state: the dynamics have no noise."""
        return state

    def reset(self, rng: jax.Array) -> State:
        """Resets; rng: a raw key (2,)."""
        state = self.env.reset(rng)
        return state.replace(
            reward=jnp.zeros(()) if self.sparse else state.reward,
            metrics=state.metrics | {'success': jnp.zeros(())},
            info=state.info | {'region': jnp.int32(0)},
        )

    def step(self, state: State, action: jax.Array) -> State:
        """Steps brax's environment and judges its metric."""
        after = self.env.step(state, jnp.clip(action, -1.0, 1.0))
        metric = after.metrics[self.success_metric]
        success = (metric <= self.success_threshold) if self.below else (metric >= self.success_threshold)
        success = success.astype(jnp.float32)
        return after.replace(
            reward=success if self.sparse else after.reward,
            done=jnp.maximum(after.done, success),
            metrics=after.metrics | {'success': success},
        )
