"""Rollouts of the frozen pretrained policy, noise ~ N(0, I), kept as transitions: where iql's critics begin.

Between the policies and iql. Episodes are played as evaluation plays them: same keys, same episodes.
"""

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State

from postbc_jax import parallel
from postbc_jax.envs.rollout import Acting, chunked, play_all, start_and_play
from postbc_jax.finetune import rewards
from postbc_jax.finetune.transitions import Transitions


def collect(
    env: Env, policy: Acting, key: jax.Array, episodes: int, first: jax.Array | int, reward: str, discount: float
) -> tuple[Transitions, dict[str, jax.Array]]:
    """Inside pmap: plays whole episodes first, ..., first + episodes - 1 and keeps every decision.

    Args:
      env: a bare environment.
      policy: called at every decision with a fresh key; its extras hold 'noise' (T, A). Reads `policy.normaliser`.
      key: typed; episode i depends on fold_in(key, i) alone, as in evaluate.rollouts.
      episodes: n over all devices; the data axis must divide it.
      first: logical index of the first one.
      reward: one of rewards.REWARDS.
      discount: the learner's, per decision. Below 1 a time-out is no end of the task, at 1 it is (PPOConfig.discount).

    Returns:
      This device's transitions, (n / devices * H, ...), H decisions an episode, those after its end weighing 0; and
      what evaluate.rollouts returns, of this device's episodes (n / devices,).

    Raises:
      ValueError: the policy's chunk does not fit the environment; a reward without a finite return.
    """
    keys = parallel.row_keys(key, parallel.local_rows(episodes), first)
    decisions = rewards.Reward(chunked(env, policy), reward, discount)
    normaliser, bootstrapped = policy.normaliser, float(discount < 1)

    def watch(before: State, chunk: jax.Array, extras: dict[str, jax.Array], after: State) -> Transitions:
        live = (before.done == 0).astype(jnp.float32)
        timed_out = after.info.get('truncated', 0) * bootstrapped
        return Transitions(
            obs=normaliser.obs(before.obs),
            chunk=normaliser.action(chunk).ravel(),
            noise=extras['noise'].ravel(),
            reward=live * after.reward,
            discount=1 - after.done * (1 - timed_out),
            next_obs=normaliser.obs(after.obs),
            weight=live,
        )

    played, kept = play_all(decisions, policy, *jax.vmap(start_and_play)(keys), watch)
    kept = kept.replace(discount=kept.discount.at[:, -1].multiply(bootstrapped))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), kept), played
