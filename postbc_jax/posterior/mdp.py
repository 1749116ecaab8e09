"""Finite MDPs: demonstrations sampled as counts, and the exact value of a policy by backward induction.

Demos and evaluate in one, where everything can be computed: what the tabular estimators beside it are measured with. A
policy here is an array (H, S, A) of probabilities. Everything is for one data set; vmap it over keys and counts.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

_BLOCK = 32  # demonstrations that are drawn at once


@struct.dataclass
class MDP:
    """A finite MDP of finite horizon; `make` checks one.

    Attributes:
      initial: (S,), probabilities of the start state.
      transition: (H, S, A, S), of the next state.
      reward: (H, S, A), expected.
    """

    initial: jax.Array
    transition: jax.Array
    reward: jax.Array


def make(initial: np.ndarray, transition: np.ndarray, reward: np.ndarray) -> MDP:
    """The MDP of numpy arrays (S,), (H, S, A, S), (H, S, A).

    Raises:
      ValueError: shapes that do not fit each other, or rows that are no probabilities.
    """
    initial, transition, reward = (np.asarray(x, float) for x in (initial, transition, reward))
    if reward.ndim != 3 or initial.shape != reward.shape[1:2] or transition.shape != (*reward.shape, *initial.shape):
        raise ValueError(
            f'initial {initial.shape}, transition {transition.shape}, reward {reward.shape}: must be (S,), '
            '(H, S, A, S) and (H, S, A)'
        )
    check('initial', initial)
    check('transition', transition)
    return MDP(*(jnp.asarray(x, jnp.float32) for x in (initial, transition, reward)))


def check(name: str, probabilities: np.ndarray) -> None:
    """Raises ValueError where rows (the last axis) are no probabilities."""
    sums = np.sum(probabilities, axis=-1)
    if np.min(probabilities) < 0 or not np.allclose(sums, 1, atol=1e-6):
        raise ValueError(
            f'{name}: the least entry is {np.min(probabilities):g}, rows sum to {np.min(sums):g} to {np.max(sums):g}: '
            'must be at least 0, and 1'
        )


def value(mdp: MDP, policy: jax.Array) -> jax.Array:
    """The expected return J of a policy (H, S, A), exactly; a scalar.

    Backward induction: V_H+1 = 0, V_h(s) = sum_a pi_h(a|s) (r_h(s,a) + sum_s' P_h(s'|s,a) V_h+1(s')), J = P_0 V_1.
    """
    _fits(mdp, 'policy', policy)

    def step(after, at):
        transition, reward, policy = at
        return jnp.sum(policy * (reward + transition @ after), axis=-1), None

    first, _ = jax.lax.scan(step, jnp.zeros_like(mdp.initial), (mdp.transition, mdp.reward, policy), reverse=True)
    return mdp.initial @ first


def demonstrate(key: jax.Array, mdp: MDP, demonstrator: jax.Array, demonstrations: jax.Array | int) -> jax.Array:
    """Samples T demonstrations and counts them.

    Args:
      key: typed key.
      mdp: where they are recorded.
      demonstrator: (H, S, A), its policy.
      demonstrations: T, which may be traced: one program serves every T.

    Returns:
      (H, S, A) int32, how often action a was played in state s at step h: T_h(s, a). Each step's sum to T.
    """
    _fits(mdp, 'demonstrator', demonstrator)
    horizon, states, actions = demonstrator.shape
    start, act, move = _cumulative(mdp.initial), _cumulative(demonstrator), _cumulative(mdp.transition)

    def block(index, counts):
        uniforms = jax.random.uniform(jax.random.fold_in(key, index), (2 * horizon, _BLOCK))
        asked = index * _BLOCK + jnp.arange(_BLOCK) < demonstrations

        def step(state, at):
            act, move, (for_action, for_move) = at
            action = _draw(act[state], for_action)
            pair = jnp.where(asked, state * actions + action, -1)
            counts = jnp.sum(pair[:, None] == jnp.arange(states * actions), axis=0)
            return _draw(move[state, action], for_move), counts

        # The first number is the start state's. Rolled, it is the last step's move too, which nobody sees.
        rolled = jnp.roll(uniforms, -1, axis=0).reshape(horizon, 2, _BLOCK)
        _, added = jax.lax.scan(step, _draw(start, uniforms[0]), (act, move, rolled))
        return counts + added.reshape(counts.shape)

    blocks = (demonstrations + _BLOCK - 1) // _BLOCK
    return jax.lax.fori_loop(0, blocks, block, jnp.zeros(demonstrator.shape, jnp.int32))


def _cumulative(probabilities: jax.Array) -> jax.Array:
    """(..., N) -> the N - 1 inner edges of [0, 1). Scaled so that rounding leaves no room beyond the last of them to
    what has probability 0."""
    edges = jnp.cumsum(probabilities, axis=-1)
    return (edges / edges[..., -1:])[..., :-1]


def _draw(edges: jax.Array, uniforms: jax.Array) -> jax.Array:
    """edges (..., N - 1), uniforms (B,) -> (B,), in which of the N parts each lies."""
    return jnp.sum(uniforms[:, None] >= edges, axis=-1)


def _fits(mdp: MDP, name: str, policy: jax.Array) -> None:
    if policy.shape != mdp.reward.shape:
        raise ValueError(f'{name} {policy.shape}: must be (H, S, A) = {mdp.reward.shape}, as the reward is')
