"""DSRL's idea: an environment whose action is the initial noise of a frozen policy, and the policy that results.

Between policies and the finetuners: any RL algorithm on `steer(env, policy, bound)` is DSRL (arXiv 2506.15799).
"""

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State, Wrapper
from flax import struct

from postbc_jax.finetune import actor
from postbc_jax.finetune.decisions import Decisions
from postbc_jax.policies import Policy
from postbc_jax.types import Params


def steer(env: Env, policy: Policy, bound: float, limit: jax.Array | None = None) -> Wrapper:
    """A brax Env in which a decision of `policy` is one step and its initial noise is the action.

    Args:
      env: a bare environment.
      policy: frozen; ONE learner's.
      bound: b > 0; noise is clipped to [-b, b].
      limit: () in (0, b], a number that may change while RL goes on; what is played is clipped to it. None is b.

    Raises:
      ValueError: bound <= 0, or the policy's dimensions are not the environment's.
    """
    return Steer(env, policy, bound, limit)


class Steer(Decisions):
    """Action: flat noise (T*A,), clipped to [-b, b]. A step decodes it and plays the chunk."""

    def __init__(self, env: Env, policy: Policy, bound: float, limit: jax.Array | None = None):
        if not bound > 0:
            raise ValueError(f'steer: bound={bound} must be above 0: it is the largest |noise| that is played')
        super().__init__(env, policy)
        self.bound, self.limit = bound, limit

    def step(self, state: State, action: jax.Array) -> State:
        """action: noise (T*A,)."""
        noise = limited(jnp.clip(action, -self.bound, self.bound), self.limit).reshape(self.shape)
        return self.play(state, *self.policy.decide(state.obs, noise))


def limited(noise: jax.Array, limit: jax.Array | None) -> jax.Array:
    """Noise of any shape within [-limit, limit]; as it is where there is no limit."""
    return noise if limit is None else jnp.clip(noise, -limit, limit)


@struct.dataclass
class SteeredPolicy:
    """A finetuned policy: the frozen one, with its initial noise chosen by an actor. Called like the frozen one.

    Attributes:
      policy: the frozen policy.
      params: the actor's.
      actor_config: what rebuilds its network.
      stochastic: whether to draw the noise from the actor or (the default) take its mode.
      limit: (), see steer.
    """

    policy: Policy
    params: Params
    actor_config: actor.ActorConfig = struct.field(pytree_node=False)
    stochastic: bool = struct.field(pytree_node=False, default=False)
    limit: jax.Array | None = None

    def __call__(self, obs: jax.Array, key: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        """obs (O,) in the environment's units -> (chunk (T, A) in the environment's units, {'noise': (T, A)} and what
        is said of the chunk)."""
        normalised = self.policy.normaliser.obs(obs)
        if self.stochastic:
            normal = jax.random.normal(key, (self.actor_config.noise_size,))
            noise = actor.draw(self.actor_config, self.params, normalised, normal).noise
        else:
            noise = actor.mode(self.actor_config, self.params, normalised)
        noise = limited(noise, self.limit).reshape(self.policy.config.chunk, self.policy.config.action_size)
        chunk, said = self.policy.decide(normalised, noise)
        return self.policy.normaliser.unnormalise_action(chunk), {'noise': noise, **said}
