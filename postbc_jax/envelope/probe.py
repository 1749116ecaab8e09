"""What the monitor reads: how a policy that is being finetuned plays, beside the envelope and the pretrained policy.

Between finetuning's chunks. For ONE learner; runs inside parallel.pmap, on episodes of its own, so that whoever chooses
a chunk by what it says has not chosen by the episodes that are reported.
"""

from typing import Any

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State

from postbc_jax import parallel
from postbc_jax.envelope.envelope import Envelope, moments
from postbc_jax.envelope.monitor import Measured
from postbc_jax.envs.rollout import Acting, chunked, play_all, start_and_play
from postbc_jax.policies import FLAGS, Policy

FLOOR = 0.01  # of the reference's spread, normalised: a policy without any is far from nothing


def probe(
    env: Env,
    policy: Acting,
    exploring: Acting,
    pretrained: Policy,
    envelope: Envelope | None,
    key: jax.Array,
    episodes: int,
    states: int,
    draws: int,
) -> Measured:
    """Plays episodes and looks at some of the states on their way.

    Args:
      env: a bare environment.
      policy: played, as it would be deployed.
      exploring: the same policy as it is played while it learns.
      pretrained: what it began as.
      envelope: of the demonstrations; None where none was fitted: 'outside' is then NaN, and the reference's spread is
        the pretrained policy's.
      key: typed; equal keys are the same episodes.
      episodes, states: over all devices, which the data axis must divide; decisions are drawn with replacement.
      draws: chunks drawn of each policy at each state, at least 2.

    Returns:
      Means over everything, so that each () is one number; standard deviations are pooled over states and entries.
    """
    play_key, state_key, draw_key = jax.random.split(key, 3)
    keys = parallel.row_keys(play_key, parallel.local_rows(episodes))

    def watch(before: State, chunk: jax.Array, extras: Any, after: State) -> tuple[jax.Array, jax.Array]:
        return before.obs, before.done

    played, (obs, done) = play_all(chunked(env, policy), policy, *jax.vmap(start_and_play)(keys), watch)
    local = parallel.local_rows(states)
    live = jnp.log1p(-done.ravel())  # 0 where a decision was made, else -inf
    chosen = jax.vmap(lambda k: jax.random.categorical(k, live))(parallel.row_keys(state_key, local))
    obs = obs.reshape(-1, obs.shape[-1])[chosen]  # (local, O)
    normaliser = pretrained.normaliser

    def drawn(acting: Acting, key: jax.Array, obs: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Mean and variance (T, A) over draws, and the share of them outside."""
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(draws))
        chunks, extras = jax.vmap(acting, in_axes=(None, 0))(obs, keys)
        chunks = normaliser.action(chunks)
        return chunks.mean(0), chunks.var(0, ddof=1), _outside(envelope, normaliser.obs(obs), chunks, extras)

    def at(key: jax.Array, obs: jax.Array) -> dict[str, jax.Array]:
        mean, variance, outside = drawn(exploring, jax.random.fold_in(key, 0), obs)
        before, variance_before, _ = drawn(pretrained, jax.random.fold_in(key, 1), obs)
        reference = variance_before if envelope is None else jnp.square(moments(envelope.guide, normaliser.obs(obs))[1])
        # The squared difference of two means over draws is too large by the variances of these means.
        moved = jnp.square(mean - before) - (variance + variance_before) / draws
        sums = {'variance': variance, 'reference': jnp.maximum(reference, FLOOR**2), 'moved': moved}
        return jax.tree.map(jnp.mean, sums | {'outside': outside})

    seen = jax.vmap(at)(parallel.row_keys(draw_key, local), obs)
    found = parallel.data_mean(jax.tree.map(jnp.mean, seen | {'success': played['success']}))
    return Measured(
        success=found['success'],
        outside=found['outside'],
        spread=jnp.sqrt(found['variance'] / found['reference']),
        distance=jnp.sqrt(jnp.maximum(found['moved'], 0) / found['reference']),
    )


def _outside(envelope: Envelope | None, obs: jax.Array, chunks: jax.Array, extras: Any) -> jax.Array:
    """Share of the chunks (D, T, A) that the envelope does not hold; where a guard has already put them inside, of
    those that it found outside, or at a strange state."""
    if 'guard' in extras:
        return jnp.maximum(*(extras['guard'][name] for name in FLAGS)).mean()
    if envelope is None:
        return jnp.float32(jnp.nan)
    return 1 - jax.vmap(envelope.inside, in_axes=(None, 0))(obs, chunks).astype(jnp.float32).mean()
