"""Vectorised environments whose finished episodes restart from new starts: what training rolls out in.

brax's own AutoResetWrapper replays each row's first start for ever, which would train on a fixed set of starts.
"""

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env, State, Wrapper
from brax.envs.wrappers.training import EpisodeWrapper, VmapWrapper

# The raw key of a start that nobody will use: an environment whose reset is costly may answer with anything.
UNUSED = np.full(2, np.iinfo(np.uint32).max, np.uint32)

# What is known about the episode that has just ended, and must outlive the reset.
_KEPT = ('truncation', 'episode_done', 'episode_metrics', 'steps', 'played', 'truncated')


def wrap(env: Env, episode_length: int) -> Wrapper:
    """brax.envs.training.wrap with FreshReset in AutoResetWrapper's place.

    Args:
      env: a bare environment, or one of chunks (PlayChunks): episode_length then counts decisions.
      episode_length: steps after which an episode is cut: done 1 and info['truncation'] 1, if it did not end itself.

    Returns:
      An environment of B rows: reset takes raw keys (B, 2), step takes actions (B, A).

    Raises:
      ValueError: episode_length < 1.
    """
    if episode_length < 1:
        raise ValueError(f'wrap: episode_length={episode_length} must be at least 1')
    return FreshReset(EpisodeWrapper(VmapWrapper(env), episode_length, action_repeat=1))


class FreshReset(Wrapper):
    """Restarts every finished row from a new start state.

    At a step that ends an episode, reward, done, metrics and the EpisodeWrapper's bookkeeping ('steps', 'truncation',
    'episode_done', 'episode_metrics', and PlayChunks' 'played') are those of the episode that ended; obs,
    pipeline_state and the rest of info ('region' too) are already those of the next one, as in brax. info['final_obs']
    is the obs that the step led to before any reset, which a bootstrap at a time-out needs. A row's n-th start depends
    on its key and n alone, not on what was played before. An episode that the environment cut itself
    (info['truncated'], see HostEnv) is a time-out too. A reset is computed at every step and selected: under vmap a
    cond would do the same; rows that go on are reset with the key UNUSED.
    """

    def reset(self, rng: jax.Array) -> State:
        """Resets every row; rng: raw keys (B, 2)."""
        start, rest = _split(rng)
        state = self.env.reset(start)
        return state.replace(info=state.info | {'reset_rng': rest, 'final_obs': state.obs})

    def step(self, state: State, action: jax.Array) -> State:
        """Steps every row; action: (B, A)."""
        rng = state.info['reset_rng']
        info = {k: v for k, v in state.info.items() if k not in ('reset_rng', 'final_obs')}
        info['steps'] = jnp.where(state.done > 0, 0, info['steps'])
        ended = self.env.step(state.replace(done=jnp.zeros_like(state.done), info=info), action)

        start, rest = _split(rng)
        done = ended.done > 0
        fresh = self.env.reset(jnp.where(done[:, None], start, UNUSED))

        def select(new, old):
            return jnp.where(done.reshape(done.shape + (1,) * (new.ndim - 1)), new, old)

        info = {
            name: value if name in _KEPT or name not in fresh.info else jax.tree.map(select, fresh.info[name], value)
            for name, value in ended.info.items()
        }
        info |= {'reset_rng': select(rest, rng), 'final_obs': ended.obs}
        if 'truncated' in info:
            info['truncation'] = jnp.maximum(info['truncation'], ended.done * info['truncated'])
        return ended.replace(
            pipeline_state=jax.tree.map(select, fresh.pipeline_state, ended.pipeline_state),
            obs=jax.tree.map(select, fresh.obs, ended.obs),
            info=info,
        )


def _split(rng: jax.Array) -> tuple[jax.Array, jax.Array]:
    start, rest = jnp.moveaxis(jax.vmap(jax.random.split)(rng), 1, 0)
    return start, rest
