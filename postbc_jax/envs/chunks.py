"""Environments whose action is a whole chunk of actions, played without looking: how chunked policies meet an Env.

Wraps the bare environment, below the vectorising wrappers; a step of it is one decision of the policy.
"""

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State, Wrapper

from postbc_jax.envs.host import HostEnv


class PlayChunks(Wrapper):
    """Plays flat chunks (T*A,), the T actions one after the other.

    The state freezes at the step that ends the episode: later actions of that chunk do nothing, so its obs, metrics
    and done are those of the end. A chunk's reward is the sum over the steps played; info['played'] (int32) is how
    many those were. A chunk that meets a state already done plays nothing. The last decision before a time-out is
    played whole, so an episode may run up to T-1 steps over the bare horizon.
    """

    def __init__(self, env: Env, chunk: int):
        """Args: env, a bare environment; chunk, T >= 1.

        Raises:
          ValueError: chunk < 1.
        """
        if chunk < 1:
            raise ValueError(f'PlayChunks: chunk={chunk} must be at least 1')
        super().__init__(env)
        self.chunk = chunk

    @property
    def action_size(self) -> int:
        """T*A."""
        return self.chunk * self.env.action_size

    @property
    def horizon(self) -> int:
        """Decisions in an episode: the bare horizon over T, rounded up."""
        return -(-self.env.horizon // self.chunk)

    def reset(self, rng: jax.Array) -> State:
        """Resets the bare environment; rng: a raw key (2,)."""
        state = self.env.reset(rng)
        return state.replace(info=state.info | {'played': jnp.int32(0)})

    def step(self, state: State, action: jax.Array) -> State:
        """Plays one chunk; action: (T*A,)."""
        first = state.replace(info={k: v for k, v in state.info.items() if k != 'played'})
        actions = action.reshape(self.chunk, self.env.action_size)
        if isinstance(self.env, HostEnv):
            last, played = self.env.play(first, actions)
            return last.replace(info=last.info | {'played': played})

        def play(carry, action):
            state, total, played = carry
            live = state.done == 0
            after = self.env.step(state, action)
            total += jnp.where(live, after.reward, 0.0)
            state = jax.tree.map(lambda new, old: jnp.where(live, new, old), after, state)
            return (state, total, played + live), None

        (last, total, played), _ = jax.lax.scan(play, (first, jnp.zeros_like(state.reward), jnp.int32(0)), actions)
        return last.replace(reward=total, info=last.info | {'played': played})
