"""Environments in which one decision of a policy is one step, in the policy's own normalised units.

Between environments and the finetuners: those that make chunks act in it, `steer` decodes noise on top of it.
"""

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State, Wrapper

from postbc_jax.envs.chunks import PlayChunks
from postbc_jax.policies import FLAGS, Policy


class Decisions(Wrapper):
    """Action: a flat chunk (T*A,), normalised as the policy's, played in the environment's units; what leaves its range
    the environment clips. obs: normalised as the policy normalises, (O,); info['env_obs'] is the environment's own.
    Of a guarded policy the chunk is what its guard admits of it, and metrics say what the guard did."""

    def __init__(self, env: Env, policy: Policy):
        """Args: env, a bare environment; policy, ONE learner's, whose normaliser and shapes are used.

        Raises:
          ValueError: the policy's dimensions are not the environment's.
        """
        config = policy.config
        if env.action_size != config.action_size:
            raise ValueError(f'the policy has {config.action_size} actions, the environment {env.action_size}')
        if env.observation_size != config.obs_size:
            raise ValueError(
                f'the policy reads {config.obs_size} observations, the environment gives {env.observation_size}'
            )
        super().__init__(PlayChunks(env, config.chunk))
        self.policy, self.shape = policy, (config.chunk, config.action_size)

    def reset(self, rng: jax.Array) -> State:
        """rng: a raw key (2,)."""
        state = self._outer(self.env.reset(rng))
        _, said = self.policy.admit(state.obs, jnp.zeros(self.shape))
        return _counted(state, jax.tree.map(jnp.zeros_like, said))

    def step(self, state: State, action: jax.Array) -> State:
        """action: a normalised chunk (T*A,)."""
        return self.play(state, *self.policy.admit(state.obs, action.reshape(self.shape)))

    def play(self, state: State, chunk: jax.Array, said: dict) -> State:
        """chunk: normalised (T, A), admitted; said: of it, by the policy."""
        info, metrics = dict(state.info), dict(state.metrics)
        env_obs = info.pop('env_obs')
        for name in FLAGS if said else ():
            metrics.pop(name)
        chunk = self.policy.normaliser.unnormalise_action(chunk)
        after = self.env.step(state.replace(obs=env_obs, info=info, metrics=metrics), chunk.ravel())
        return _counted(self._outer(after), said)

    def _outer(self, state: State) -> State:
        obs = self.policy.normaliser.obs(state.obs)
        return state.replace(obs=obs, info=state.info | {'env_obs': state.obs})


def _counted(state: State, said: dict) -> State:
    return state.replace(metrics=state.metrics | {name: said['guard'][name] for name in FLAGS}) if said else state
