"""An environment of somebody else's as a task of ours: success is a metric of its own that crosses a threshold."""

from typing import Any

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State, Wrapper

from postbc_jax.envs.operators import Operator


class MetricTask(Wrapper):
    """A brax Env with metrics['success'], the end of the episode at success, and a sparse reward.

    It has one region, 'all', no scripted operators (demonstrations come from files) and no noise of its own. An
    observation that is not finite ends the episode as failed and is shown as 0 where it is not.

    Args (of the constructor):
      name: the name that envs.make knows it by.
      env: for one environment.
      success_metric: a key of its state.metrics, or 'reward', its own; read after every step.
      success_threshold: success is metric >= threshold.
      below: True where success is metric <= threshold instead.
      horizon: steps of an episode.
      sparse: reward 1 at the step that succeeds and 0 elsewhere; False keeps the environment's own.
      settings: what else `settings` returns.

    Raises (in the constructor):
      ValueError: no metric or threshold, no such metric, an observation that is not one vector, or horizon < 1.
    """

    regions = ('all',)

    def __init__(
        self,
        name: str,
        env: Env,
        success_metric: str | None,
        success_threshold: float | None,
        below: bool,
        horizon: int,
        sparse: bool,
        settings: dict[str, Any],
    ):
        if horizon < 1:
            raise ValueError(f'{name}: horizon={horizon} must be at least 1')
        super().__init__(env)
        start = jax.eval_shape(env.reset, jax.ShapeDtypeStruct((2,), jnp.uint32))
        metrics = ', '.join({'reward': start.reward} | start.metrics)
        if success_metric is None or success_threshold is None:
            raise ValueError(
                f'{name}: say what success is by --config.env_settings.success_metric=NAME and '
                f'--config.env_settings.success_threshold=NUMBER; its metrics are {metrics}'
            )
        if success_metric != 'reward' and success_metric not in start.metrics:
            raise ValueError(f'{name}: success_metric={success_metric!r} is none of its metrics: {metrics}')
        if not hasattr(start.obs, 'shape') or len(start.obs.shape) != 1:
            raise ValueError(f'{name}: its observation is not one vector: {jax.tree.map(jnp.shape, start.obs)}')
        self.name, self.horizon, self.sparse, self._settings = name, horizon, sparse, settings
        self.success_metric, self.success_threshold, self.below = success_metric, float(success_threshold), below
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
        """Steps the environment and judges its metric."""
        after = self.env.step(state, jnp.clip(action, -1.0, 1.0))
        metric = after.reward if self.success_metric == 'reward' else after.metrics[self.success_metric]
        reached = (metric <= self.success_threshold) if self.below else (metric >= self.success_threshold)
        finite = jnp.isfinite(after.obs)
        success = (reached & finite.all()).astype(jnp.float32)
        return after.replace(
            obs=jnp.where(finite, after.obs, 0.0),
            reward=success if self.sparse else jnp.where(finite.all(), after.reward, 0.0),
            done=jnp.maximum(after.done, jnp.maximum(success, ~finite.all())),
            metrics=after.metrics | {'success': success},
        )
