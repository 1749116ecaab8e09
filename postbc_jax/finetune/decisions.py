"""Environments in which one decision of a policy is one step, in the policy's own normalised units.

Between environments and the finetuners: those that make chunks act in it, `steer` decodes noise on top of it.
"""

import jax
from brax.envs.base import Env, State, Wrapper

from postbc_jax.envs.chunks import PlayChunks
from postbc_jax.policies import Policy


class Decisions(Wrapper):
    """Action: a flat chunk (T*A,), normalised as the policy's, played in the environment's units; what leaves its range
    the environment clips. obs: normalised as the policy normalises, (O,); info['env_obs'] is the environment's own."""

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
        return self._outer(self.env.reset(rng))

    def step(self, state: State, action: jax.Array) -> State:
        """action: a normalised chunk (T*A,)."""
        info = dict(state.info)
        env_obs = info.pop('env_obs')
        chunk = self.policy.normaliser.unnormalise_action(action.reshape(self.shape))
        return self._outer(self.env.step(state.replace(obs=env_obs, info=info), chunk.ravel()))

    def _outer(self, state: State) -> State:
        obs = self.policy.normaliser.obs(state.obs)
        return state.replace(obs=obs, info=state.info | {'env_obs': state.obs})
