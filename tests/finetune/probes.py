"""Environments whose values are known, and a policy whose decoder is one line: what the finetuners are tested on."""

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env, State
from flax import struct

DISCOUNT = 0.5
# Which probe an environment is: an array, so that one compiled population runs all of them.
CONSTANT, TWO_STEPS, OBSERVED, ACTION, ACTION_AT_OBSERVATION, TIME_OUT = range(6)
PROBES = 6
BEST = 0.7


class Probe(Env):
    """obs (step, side), side -1 or 1 by chance; one action; one decision unless said otherwise.

    CONSTANT: reward 1. TWO_STEPS: reward 0, then 1. OBSERVED: reward side. ACTION: -(a - .7)^2.
    ACTION_AT_OBSERVATION: -(a - .7 side)^2. TIME_OUT: reward 1 at every step, cut after 2, and the step is not seen.
    """

    horizon = 2
    bound, limit = 1.0, None
    action_size = 1
    observation_size = 2
    backend = 'none'

    def __init__(self, kind: jax.Array):
        self.kind = kind

    def reset(self, rng: jax.Array) -> State:
        zero = jnp.zeros(())
        inner = {'step': zero, 'side': jax.random.rademacher(rng, (), jnp.float32)}
        info = {'region': jnp.int32(0)}
        return State(inner, self._obs(inner), zero, zero, {'success': zero}, info)

    def step(self, state: State, action: jax.Array) -> State:
        inner = state.pipeline_state
        side, a = inner['side'], action[0]
        last = inner['step'] + 1.0
        rewards = [1.0, last - 1.0, side, -((a - BEST) ** 2), -((a - BEST * side) ** 2), 1.0]
        ends = [1.0, (last == 2).astype(jnp.float32), 1.0, 1.0, 1.0, 0.0]
        inner = {'step': last, 'side': side}
        done = jnp.stack([jnp.asarray(x) for x in ends])[self.kind]
        return state.replace(
            pipeline_state=inner,
            obs=self._obs(inner),
            reward=jnp.stack([jnp.asarray(x) for x in rewards])[self.kind],
            done=done,
            metrics={'success': done},
        )

    def _obs(self, inner) -> jax.Array:
        return jnp.stack([inner['step'] * (self.kind != TIME_OUT), inner['side']])


def wrong(value, kind, mode) -> float:
    """How far a trained learner of probe `kind` is from what is known of it.

    Args:
      value: obs (2,) -> the trained value.
      kind: which probe.
      mode: obs (2,) -> the trained actor's action.
    """
    first = {side: jnp.array([0.0, side]) for side in (-1.0, 1.0)}
    known = {
        CONSTANT: [(first[1.0], 1.0), (first[-1.0], 1.0)],
        TWO_STEPS: [(first[1.0], DISCOUNT), (jnp.array([1.0, 1.0]), 1.0)],
        OBSERVED: [(first[1.0], 1.0), (first[-1.0], -1.0)],
        TIME_OUT: [(first[1.0], 1 / (1 - DISCOUNT))],
    }
    if kind in known:
        return max(abs(float(value(obs)) - v) for obs, v in known[kind])
    best = {side: BEST * (side if kind == ACTION_AT_OBSERVATION else 1.0) for side in first}
    return max(abs(float(mode(obs)[0]) - best[side]) for side, obs in first.items())


def to_numpy(x: jax.Array) -> np.ndarray:
    """An array or typed keys on the host."""
    return np.asarray(jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x)


def through_numpy(state):
    """The same state rebuilt from numpy arrays, placed as it was: what a checkpoint does."""

    def rebuild(x):
        data = jax.device_put(to_numpy(x), x.sharding)
        return jax.random.wrap_key_data(data) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else data

    return jax.tree.map(rebuild, state)


@struct.dataclass
class Shape:
    """The part of a PolicyConfig that steering reads."""

    obs_size: int = struct.field(pytree_node=False)
    action_size: int = struct.field(pytree_node=False)
    chunk: int = struct.field(pytree_node=False)


@struct.dataclass
class Halves:
    """A normaliser: obs / 2, action / 4."""

    def obs(self, obs: jax.Array) -> jax.Array:
        return obs / 2

    def unnormalise_action(self, chunk: jax.Array) -> jax.Array:
        return 4 * chunk


@struct.dataclass
class Affine:
    """A policy: chunk = gain * noise + the observation's second entry, which a wrong observation would change."""

    gain: jax.Array
    config: Shape = struct.field(pytree_node=False, default=Shape(4, 1, 3))
    normaliser: Halves = Halves()

    def decode(self, obs: jax.Array, noise: jax.Array) -> jax.Array:
        return self.gain * noise - obs[1]

    def decode_normalised(self, obs: jax.Array, noise: jax.Array) -> jax.Array:
        return (self.gain * noise - 2 * obs[1]) / 4

    def decide(self, obs: jax.Array, noise: jax.Array) -> tuple[jax.Array, dict]:
        return self.admit(obs, self.decode_normalised(obs, noise))

    def admit(self, obs: jax.Array, chunk: jax.Array) -> tuple[jax.Array, dict]:
        return chunk, {}
