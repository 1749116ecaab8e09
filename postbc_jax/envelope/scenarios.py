"""Scenarios: the same episodes under other dynamics, sensors and delays; how much of a policy's success is left.

Beside evaluate, which plays what was learnt for. What is perturbed is data, so that a grid of any size is one compiled
program. For ONE learner; `play` runs inside parallel.pmap.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env, State, Wrapper
from flax import struct

from postbc_jax import parallel
from postbc_jax.data.normaliser import Normaliser
from postbc_jax.envs.chunks import PlayChunks
from postbc_jax.envs.rollout import Acting, chunked, play_all, start_and_play

_OWN = ('late', 'clean', 'sensor_rng')


@struct.dataclass
class Scenario:
    """What differs from the task that was learnt; arrays (), or (C,) of many.

    Attributes:
      gain: factor of every action.
      bias: added to every action, as a share of half its demonstrated range.
      noise: standard deviation added to every observation, as a share of half its demonstrated range.
      delay: int32, environment steps by which actions come late; zeros are played until the first arrives.
    """

    gain: jax.Array
    bias: jax.Array
    noise: jax.Array
    delay: jax.Array


def grid(gains: Sequence[float], biases: Sequence[float], noises: Sequence[float], delays: Sequence[int]) -> Scenario:
    """Every combination, (C,), the last argument varying fastest.

    Raises:
      ValueError: an argument is empty, or noise or delay is negative; names it.
    """
    for name, values in (('gains', gains), ('biases', biases), ('noises', noises), ('delays', delays)):
        if not len(values):
            raise ValueError(f'scenarios.{name}=(): give at least one')
    for name, values in (('noises', noises), ('delays', delays)):
        if min(values) < 0:
            raise ValueError(f'scenarios.{name}={tuple(values)}: must be at least 0')
    columns = list(zip(*itertools.product(gains, biases, noises, delays), strict=True))
    return Scenario(*(np.array(column, np.float32) for column in columns[:3]), np.array(columns[3], np.int32))


class Perturbed(Wrapper):
    """Chunks played, and states seen, in one scenario. Episodes that were given the same key get the same noise."""

    def __init__(self, env: PlayChunks, scenario: Scenario, normaliser: Normaliser, longest: int):
        """Args: env, of chunks; scenario, (); normaliser, for the demonstrated ranges; longest, the most that any
        scenario delays, in steps."""
        super().__init__(env)
        self.scenario, self.normaliser, self.longest = scenario, normaliser, longest

    def reset(self, rng: jax.Array) -> State:
        """rng: a raw key (2,)."""
        state = self.env.reset(rng)
        late = jnp.zeros((self.longest, self.env.env.action_size))
        return self._seen(state, late, jax.random.fold_in(jax.random.wrap_key_data(rng), 1))

    def step(self, state: State, action: jax.Array) -> State:
        """action: a chunk (T*A,)."""
        late, clean, key = (state.info[name] for name in _OWN)
        inner = state.replace(obs=clean, info={k: v for k, v in state.info.items() if k not in _OWN})
        scale = self.normaliser.action_scale()
        chunk = self.scenario.gain * action.reshape(self.env.chunk, -1) + self.scenario.bias * scale
        queue = jnp.concatenate([late, chunk])
        due = jax.lax.dynamic_slice_in_dim(queue, self.longest - self.scenario.delay, self.env.chunk)
        key = jax.random.fold_in(jax.random.wrap_key_data(key), 0)
        return self._seen(self.env.step(inner, due.ravel()), queue[self.env.chunk :], key)

    def _seen(self, state: State, late: jax.Array, key: jax.Array) -> State:
        """The state with a noisy observation, and what the next step needs."""
        scale = self.normaliser.unnormalise_obs(jnp.ones_like(state.obs)) - self.normaliser.unnormalise_obs(
            jnp.zeros_like(state.obs)
        )
        noise = self.scenario.noise * scale * jax.random.normal(key, state.obs.shape)
        own = dict(zip(_OWN, (late, state.obs, jax.random.key_data(key)), strict=True))
        return state.replace(obs=state.obs + noise, info=state.info | own)


def play(
    env: Env, policy: Acting, normaliser: Normaliser, key: jax.Array, episodes: int, scenarios: Scenario, longest: int
) -> dict[str, jax.Array]:
    """Plays the same episodes in every scenario: starts, dynamics' noise and the policy's draws are one another's.

    Args:
      env: a bare environment.
      policy: called at every decision.
      normaliser: of its demonstrations.
      key: typed.
      episodes: n over all devices; the data axis must divide it.
      scenarios: (C,).
      longest: the most that any of them delays.

    Returns:
      This device's rows (n / devices, C): 'success' float32, 'region' int32, of the start.

    Raises:
      ValueError: the policy's chunk does not fit the environment.
    """
    keys = parallel.row_keys(key, parallel.local_rows(episodes))
    starts, plays = jax.vmap(start_and_play)(keys)
    bare = chunked(env, policy)

    def one(scenario: Scenario) -> dict[str, jax.Array]:
        found, _ = play_all(Perturbed(bare, scenario, normaliser, longest), policy, starts, plays)
        return {name: found[name] for name in ('success', 'region')}

    together = 1 if hasattr(bare, 'at_once') else len(scenarios.gain)  # a simulator on the host steps so many at once
    found = jax.lax.map(one, scenarios, batch_size=together)
    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), found)


def kept(found: Sequence[Mapping[str, Any]]) -> float:
    """The mean success over rows, each a scenario's numbers and a success_rate, as a share of that where nothing is
    perturbed: 0 where that is 0, NaN where no scenario leaves the task as it is.
    """
    unperturbed = {'gain': 1, 'bias': 0, 'noise': 0, 'delay': 0}
    plain = [row['success_rate'] for row in found if unperturbed.items() <= row.items()]
    if not plain:
        return float('nan')
    mean = float(np.mean([row['success_rate'] for row in found]))
    return mean / float(np.mean(plain)) if any(plain) else 0.0
