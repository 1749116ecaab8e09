"""The curriculum: finetuning that begins near the demonstrations and widens, stage by stage, as it succeeds.

Between demonstrations and finetuning. A stage is a share of the start states, those nearest to demonstrated ones, and a
share of the noise's bound, broad at first and calibrated at the end. What a stage is left for is success in it, not
time. Pure functions for ONE learner, on arrays; map them with vmap.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State, Wrapper
from flax import struct


@dataclasses.dataclass(frozen=True)
class CurriculumConfig:
    """The stages, and when one is left.

    Attributes:
      starts: of each stage, the share in (0, 1] of start states that episodes begin in, nearest first; not falling, 1
        at last.
      bounds: of each stage, the share in (0, 1] of the noise's bound that is played.
      success: of training episodes, from which on a stage counts as mastered ...
      hold: ... once so many chunks in a row have had it.

    Raises:
      ValueError: a value that cannot be.
    """

    starts: tuple[float, ...] = (0.25, 0.5, 1.0)
    bounds: tuple[float, ...] = (1.0, 0.85, 0.7)
    success: float = 0.5
    hold: int = 2

    def __post_init__(self):
        for name in ('starts', 'bounds'):
            values = getattr(self, name)
            self._require(name, bool(values) and all(0 < value <= 1 for value in values), 'shares lie in (0, 1]')
        rising = list(self.starts) == sorted(self.starts) and self.starts[-1] == 1
        self._require('starts', rising, 'stages widen, and the last is 1: all start states')
        same = len(self.starts) == len(self.bounds)
        self._require('bounds', same, f'give one for each of the {len(self.starts)} stages of curriculum.starts')
        self._require('success', 0 < self.success <= 1, 'must lie in (0, 1]')
        self._require('hold', self.hold >= 1, 'must be at least 1 chunk')

    def _require(self, field: str, holds: bool, what: str) -> None:
        if not holds:
            raise ValueError(f'curriculum.{field}={getattr(self, field)}: {what}')


@struct.dataclass
class Progress:
    """Where a learner is: stage, int32 (), from 0; held, int32 (), chunks in a row that were successful enough."""

    stage: jax.Array
    held: jax.Array


class Setting(NamedTuple):
    """What a stage sets, () each: shares of the start states and of the noise's bound."""

    starts: jax.Array
    bound: jax.Array


def begin() -> Progress:
    """In the first stage."""
    return Progress(jnp.int32(0), jnp.int32(0))


def advance(config: CurriculumConfig, progress: Progress, success: jax.Array) -> Progress:
    """After a chunk whose training episodes succeeded that often, (). There is no way back; the last stage stays."""
    held = jnp.where(success >= config.success, progress.held + 1, 0)
    done = (held >= config.hold) & (progress.stage < len(config.starts) - 1)
    return Progress(progress.stage + done, jnp.where(done, 0, held))


def setting(config: CurriculumConfig, progress: Progress) -> Setting:
    """Of the stage that it is in."""
    starts, bounds = jnp.array(config.starts, jnp.float32), jnp.array(config.bounds, jnp.float32)
    return Setting(starts[progress.stage], bounds[progress.stage])


def ordered(env: Env, keys: jax.Array, strangeness: jax.Array) -> jax.Array:
    """Start states in order: the keys of the resets whose observations are nearest to the demonstrations first.

    Args:
      env: a bare environment.
      keys: raw keys (n, 2).
      strangeness: observation (O,), in the environment's units -> (), how far it is from the demonstrated states.
    """
    obs = jax.lax.map(lambda key: env.reset(key).obs, keys)
    return keys[jnp.argsort(jax.vmap(strangeness)(obs), stable=True)]


class NearStarts(Wrapper):
    """Begins episodes in the first of ordered start states.

    While the share is below 1, starts are drawn from a bank of as many as there are keys, with dynamics' noise of their
    own where the environment has any; at 1 they are the environment's own, as if it were not wrapped.
    """

    def __init__(self, env: Env, keys: jax.Array, share: jax.Array):
        """Args: env, perhaps of chunks or decisions; keys, raw (n, 2), from `ordered`; share, () in (0, 1]."""
        super().__init__(env)
        self.keys, self.share = keys, share

    def reset(self, rng: jax.Array) -> State:
        """rng: a raw key (2,)."""
        drawn, dynamics = jax.random.split(jax.random.wrap_key_data(rng))
        most = jnp.maximum(1, jnp.floor(self.share * len(self.keys)).astype(jnp.int32))
        index = jax.random.randint(drawn, (), 0, most)
        every = self.share >= 1
        state = self.env.reset(jnp.where(every, rng, self.keys[index]))
        if not hasattr(self.env, 'reseed'):
            return state
        again = self.env.reseed(state, jax.random.key_data(dynamics))
        return jax.tree.map(lambda own, new: jnp.where(every, own, new), state, again)
