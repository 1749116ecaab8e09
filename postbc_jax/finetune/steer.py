"""DSRL's idea: an environment whose action is the initial noise of a frozen policy, and the policy that results.

Between policies and the finetuners: any RL algorithm on `steer(env, policy, bound)` is DSRL (arXiv 2506.15799).
"""

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State, Wrapper
from flax import struct

from postbc_jax.envs.chunks import PlayChunks
from postbc_jax.finetune import actor
from postbc_jax.policies import Policy
from postbc_jax.types import Params


def steer(env: Env, policy: Policy, bound: float) -> Wrapper:
    """A brax Env in which a decision of `policy` is one step and its initial noise is the action.

    Args:
      env: a bare environment.
      policy: frozen; ONE learner's.
      bound: b > 0; noise is clipped to [-b, b].

    Raises:
      ValueError: bound <= 0, or the policy's dimensions are not the environment's.
    """
    return Steer(env, policy, bound)


class Steer(Wrapper):
    """Action: flat noise (T*A,), clipped to [-b, b]. A step decodes it and plays the chunk. obs: normalised as the
    policy normalises, (O,); info['env_obs'] is the environment's own, which the policy decodes at."""

    def __init__(self, env: Env, policy: Policy, bound: float):
        if not bound > 0:
            raise ValueError(f'steer: bound={bound} must be above 0: it is the largest |noise| that is played')
        config = policy.config
        if env.action_size != config.action_size:
            raise ValueError(f'steer: the policy has {config.action_size} actions, the environment {env.action_size}')
        if env.observation_size != config.obs_size:
            raise ValueError(
                f'steer: the policy reads {config.obs_size} observations, the environment gives {env.observation_size}'
            )
        super().__init__(PlayChunks(env, config.chunk))
        self.policy, self.bound = policy, bound

    def reset(self, rng: jax.Array) -> State:
        """rng: a raw key (2,)."""
        return self._outer(self.env.reset(rng))

    def step(self, state: State, action: jax.Array) -> State:
        """action: noise (T*A,)."""
        info = dict(state.info)
        env_obs = info.pop('env_obs')
        config = self.policy.config
        noise = jnp.clip(action, -self.bound, self.bound).reshape(config.chunk, config.action_size)
        chunk = self.policy.decode(env_obs, noise)
        return self._outer(self.env.step(state.replace(obs=env_obs, info=info), chunk.ravel()))

    def _outer(self, state: State) -> State:
        obs = self.policy.normaliser.obs(state.obs)
        return state.replace(obs=obs, info=state.info | {'env_obs': state.obs})


@struct.dataclass
class SteeredPolicy:
    """A finetuned policy: the frozen one, with its initial noise chosen by an actor. Called like the frozen one.

    Attributes:
      policy: the frozen policy.
      params: the actor's.
      actor_config: what rebuilds its network.
      stochastic: whether to draw the noise from the actor or (the default) take its mode.
    """

    policy: Policy
    params: Params
    actor_config: actor.ActorConfig = struct.field(pytree_node=False)
    stochastic: bool = struct.field(pytree_node=False, default=False)

    def __call__(self, obs: jax.Array, key: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        """obs (O,) in the environment's units -> (chunk (T, A) in the environment's units, {'noise': (T, A)})."""
        normalised = self.policy.normaliser.obs(obs)
        if self.stochastic:
            normal = jax.random.normal(key, (self.actor_config.noise_size,))
            noise = actor.draw(self.actor_config, self.params, normalised, normal).noise
        else:
            noise = actor.mode(self.actor_config, self.params, normalised)
        noise = noise.reshape(self.policy.config.chunk, self.policy.config.action_size)
        return self.policy.decode(obs, noise), {'noise': noise}
