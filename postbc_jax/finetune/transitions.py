"""Transitions of whole decisions, and how trajectories with rewards (demonstrations, logged rollouts) become them.

What off-policy finetuning learns from: collect plays them, from_demos reads them off a file, iql fits critics to them.
"""

import jax
import numpy as np
from flax import struct

from postbc_jax.data.normaliser import Normaliser
from postbc_jax.data.windows import windows
from postbc_jax.finetune import rewards
from postbc_jax.types import Array, Demos


@struct.dataclass
class Transitions:
    """n decisions of a chunked policy, normalised as it normalises. D = T * A; all float32.

    Attributes:
      obs: (n, O).
      chunk: (n, D), flat.
      noise: (n, D), what the policy decoded the chunk from; 0 where nobody knows (from_demos).
      reward: (n,), of the whole chunk, see rewards.Reward.
      discount: (n,), 0 where the episode really ended (not by a time-out), else 1; the learner's own comes on top.
      next_obs: (n, O), T steps later; the last observation where the episode ended.
      weight: (n,), how often a row counts: 0 for rows that hold nothing.
    """

    obs: Array
    chunk: Array
    noise: Array
    reward: Array
    discount: Array
    next_obs: Array
    weight: Array


def from_demos(
    demos: Demos, path: str, normaliser: Normaliser, chunk: int, reward: str, discount: float
) -> Transitions:
    """The N windows of trajectories with rewards, one a step (stride 1), as decisions: numpy arrays of N rows.

    A decision at step i plays the actions i, ..., i + T - 1, earns what rewards.Reward would pay for them and leads to
    the observation of step i + T. It ends, and `discount` is 0, where one of its steps succeeds or has done 1: here
    success ends every task, so what a file holds of an episode after that weighs 0. Success is a reward of 1 where
    the file's are 0 and 1 (robomimic's; LeRobot's next.success), and of 0 where they are -1 and 0.

    An episode that breaks off without either has timed out. The observation after its last action is not in Demos, so
    windows that reach past it weigh 0; but at discount 1, where a time-out is the end of the task (PPOConfig.discount),
    they count and end there.

    Args:
      demos: validated.
      path: their file, for messages.
      normaliser: the policy's.
      chunk: T.
      reward: one of rewards.REWARDS. 'env' takes the file's rewards as they are, and its dones alone as ends.
      discount: the learner's, per decision.

    Raises:
      ValueError: the file's rewards are all 0; or do not say what success is, and `reward` asks for it; or no window
        counts, see above; see also rewards.check.
    """
    rewards.check(reward, discount)
    cut = windows(demos, normaliser, chunk)
    earned, done = np.asarray(demos.rewards, np.float32), np.asarray(demos.dones) > 0
    success = _success(earned, path, reward)
    n = len(earned)
    start, last = np.arange(n), np.asarray(cut.last)
    end = _first_end(success | done, last)  # (N,): where the step's episode really ends; N if it does not
    if discount == 1:
        end = np.where(end == n, last, end)
    stop = np.minimum(start + chunk - 1, last)
    ended = end <= stop
    stop = np.minimum(stop, end)  # the last step that a window plays
    follows = start + chunk <= last
    total = np.concatenate([[0.0], np.cumsum(earned, dtype=np.float64)])
    paid = rewards.of_decision(
        reward,
        discount,
        chunk,
        reward=total[stop + 1] - total[start],
        success=success[stop].astype(np.float32),
        ended=(success | done)[stop].astype(np.float32),
        played=stop - start + 1,
    )
    weight = (start <= end) & (ended | follows)
    if not weight.any():
        raise ValueError(
            f'{path}: every demo: no window of {chunk} steps ends with the episode or has an observation after it: '
            'store dones 1 where an episode ended, or choose a shorter chunk'
        )
    taken = jax.tree.map(np.asarray, cut.take(start))
    flat = taken[1].reshape(n, -1)
    return Transitions(
        obs=taken[0],
        chunk=flat,
        noise=np.zeros_like(flat),
        reward=(paid * weight).astype(np.float32),
        discount=1 - ended.astype(np.float32),
        next_obs=taken[0][np.where(ended | ~follows, last, start + chunk)],
        weight=weight.astype(np.float32),
    )


def _success(earned: np.ndarray, path: str, kind: str) -> np.ndarray:
    """(N,) bool: the steps that succeeded, as rewards say it; none where the environment's own are wanted."""
    if not earned.any():
        raise ValueError(
            f'{path}: every demo: rewards: all 0: nothing says which steps succeeded; store 1 at those (robomimic '
            'rewards, LeRobot next.success)'
        )
    if kind == 'env':
        return np.zeros(len(earned), bool)
    for failure, success in ((0.0, 1.0), (-1.0, 0.0)):
        if np.isin(earned, (failure, success)).all():
            return earned == success
    odd = earned[~np.isin(earned, (0.0, 1.0))][0]
    raise ValueError(
        f'{path}: rewards: hold {odd:.6g}, which does not say what success is: store 1 at the step that succeeds and 0 '
        "elsewhere, or take them as they are with reward='env'"
    )


def _first_end(ends: np.ndarray, last: np.ndarray) -> np.ndarray:
    """(N,): the first step of the step's episode at which `ends` (N,); N where there is none."""
    n = len(ends)
    found = np.full(n, n)
    np.minimum.at(found, last[ends], np.flatnonzero(ends))  # an episode is known by its last step
    return found[last]
