"""Rewards of finetuning: what a decision earns under each convention, and what a return can then amount to.

Sits between the environment (or steer) and the trainers, below the vectorising wrappers.
"""

import jax.numpy as jnp
from brax.envs.base import Env, State, Wrapper

from postbc_jax.types import Array

REWARDS = ('success', 'success_minus_one', 'env')


class Reward(Wrapper):
    """Replaces the reward of each decision.

    - 'success': 1 at the decision that succeeds, else 0 (DPPO's and Best-of-N's, arXiv 2512.16911, App. D).
    - 'success_minus_one': -1 for every step played without success (DSRL's). An attempt that is spoilt (done without
      success) pays -1 for ever after, T a decision and discounted: ending early must not be a way out.
    - 'env': the environment's own.
    """

    def __init__(self, env: Env, kind: str, discount: float):
        """Args: env, with metrics['success']; kind, one of REWARDS; discount, per decision, in [0, 1].

        Raises:
          ValueError: see check.
        """
        check(kind, discount)
        super().__init__(env)
        self.kind, self.discount = kind, discount

    def step(self, state: State, action) -> State:
        """action: whatever the environment takes."""
        state = self.env.step(state, action)
        # An attempt that a simulator cut was not spoilt: it is a time-out.
        ended = state.done * (1 - state.info.get('truncated', 0))
        success, played = state.metrics['success'], state.info.get('played', 1)
        chunk = _chunk(self.env)
        return state.replace(reward=of_decision(self.kind, self.discount, chunk, state.reward, success, ended, played))


def of_decision(kind: str, discount: float, chunk: int, reward: Array, success: Array, ended: Array, played: Array):
    """What decisions earn, as Reward says.

    Args:
      kind, discount: as Reward's.
      chunk: T.
      reward: the environment's own, summed over the steps played.
      success, ended: in {0, 1}: it succeeded; it ended, in whatever way but a time-out.
      played: steps of it.
    """
    if kind == 'env':
        return reward
    if kind == 'success':
        return success
    forever = discount * chunk / (1 - discount)
    return success - played - ended * (1 - success) * forever


def return_bounds(env: Env, kind: str, discount: float) -> tuple[float, float]:
    """The least and greatest return that the reward allows in an environment, see chunk_bounds."""
    return chunk_bounds(_chunk(env), kind, discount)


def chunk_bounds(chunk: int, kind: str, discount: float) -> tuple[float, float]:
    """The least and greatest return of chunks of T: [-T/(1-discount), 0], [0, 1], or nothing known."""
    if kind == 'success_minus_one':
        return -chunk / (1 - discount), 0.0
    return (0.0, 1.0) if kind == 'success' else (-jnp.inf, jnp.inf)


def check(kind: str, discount: float) -> None:
    """Refuses rewards without a finite return.

    Raises:
      ValueError: an unknown kind, a discount outside [0, 1], or success_minus_one at discount 1.
    """
    if kind not in REWARDS:
        raise ValueError(f'reward={kind!r}: choose one of {", ".join(REWARDS)}')
    if not 0 <= discount <= 1:
        raise ValueError(f'discount={discount}: must lie in [0, 1]')
    if kind == 'success_minus_one' and discount == 1:
        raise ValueError(f'discount={discount}: success_minus_one pays -1 for ever; choose a discount below 1')


def _chunk(env: Env) -> int:
    return getattr(env, 'chunk', 1)
