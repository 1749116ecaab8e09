"""Whole episodes of a policy, each from its own keys: what evaluation counts and what collecting keeps.

Above the bare environments and their chunks. Written for ONE learner; runs inside parallel.pmap.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State

from postbc_jax.envs.chunks import PlayChunks

# (obs (O,), key) -> (chunk (T, A), extras): Policy, SteeredPolicy, or any function.
Acting = Callable[[jax.Array, jax.Array], tuple[jax.Array, Any]]
# (state before, chunk (T, A), extras, state after) -> what is kept of a decision.
Watch = Callable[[State, jax.Array, Any, State], Any]


def start_and_play(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Keys of an episode's start and of all that follows."""
    return jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)


def chunked(env: Env, policy: Acting) -> PlayChunks:
    """The bare environment with the policy's chunks as actions.

    Raises:
      ValueError: the policy's chunk does not fit the environment.
    """
    obs = jax.ShapeDtypeStruct((env.observation_size,), jnp.float32)
    chunk, _ = jax.eval_shape(policy, obs, jax.eval_shape(lambda: jax.random.key(0)))
    if len(chunk.shape) != 2 or chunk.shape[1] != env.action_size:
        raise ValueError(
            f'evaluate: the policy gives chunks {chunk.shape}, the environment takes (T, {env.action_size})'
        )
    return PlayChunks(env, chunk.shape[0])


def play_all(
    env: Env, policy: Acting, starts: jax.Array, plays: jax.Array, watch: Watch = lambda *_: None
) -> tuple[dict[str, jax.Array], Any]:
    """Plays an episode with each pair of keys: all at once, or as many as a simulator on the host can step at once.

    Args:
      env: from `chunked`, perhaps wrapped.
      policy: called at every decision, with a fresh key.
      starts, plays: typed keys (n,), from start_and_play.
      watch: what is kept of a decision; where the state before it is done, nothing was played.

    Returns:
      ({'success': float32 (n,), 'region': int32 (n,), of the start, 'steps': int32 (n,), played}, what `watch` kept of
      every decision, (n, env.horizon, ...)).
    """
    at_once = env.at_once if hasattr(env, 'at_once') else len(starts)
    return jax.lax.map(lambda keys: _episode(env, policy, *keys, watch), (starts, plays), batch_size=at_once)


def _episode(
    env: Env, policy: Acting, start: jax.Array, key: jax.Array, watch: Watch
) -> tuple[dict[str, jax.Array], Any]:
    """One episode. A finished one plays nothing more, so its last state is that of its end."""
    state = env.reset(jax.random.key_data(start))
    region = state.info['region'] if 'region' in state.info else jnp.int32(0)
    dynamics, draws = start_and_play(key)
    if hasattr(env, 'reseed'):
        state = env.reseed(state, jax.random.key_data(dynamics))

    def decide(carry, t):
        state, steps = carry
        chunk, extras = policy(state.obs, jax.random.fold_in(draws, t))
        after = env.step(state, chunk.ravel())
        return (after, steps + after.info['played']), watch(state, chunk, extras, after)

    (state, steps), kept = jax.lax.scan(decide, (state, jnp.int32(0)), jnp.arange(env.horizon))
    return {'success': state.metrics['success'].astype(jnp.float32), 'region': region, 'steps': steps}, kept
