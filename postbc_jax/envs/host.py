"""Simulators that run on the host as brax environments: how anything that is not written in JAX is demonstrated in,
rolled out in and finetuned in.

A step is one host callback for the whole batch (under vmap, scan and shard_map), which worker processes answer.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env, State
from flax import struct

from postbc_jax.envs.callback import host_call
from postbc_jax.envs.operators import Memory, Operator
from postbc_jax.envs.pool import Pool
from postbc_jax.envs.wrappers import UNUSED


@struct.dataclass
class HostState:
    """All that determines the present of an episode: its start and what was played. A worker's instance is a cache of
    it, so that a checkpoint of this is a checkpoint of the simulation.

    Attributes:
      key: (2,) uint32, raw; the simulator's seed follows from it.
      digest: (2,) uint32, of the key and the actions played.
      steps: int32, played.
      actions: (horizon, A), the first `steps` of which were played.
      obs: (O,), after them.
    """

    key: jax.Array
    digest: jax.Array
    steps: jax.Array
    actions: jax.Array
    obs: jax.Array


class HostEnv(Env):
    """A brax Env, for one environment (batch with vmap), stepped by worker processes.

    Success ends the episode, as in every task here: `step` gives reward 1 and done 1 there (sparse), and done 1 with
    reward 0 where the simulator terminates. info['truncated'] is 1 where the simulator cut the episode for another
    reason (FreshReset counts it as a time-out). Equal keys and actions give equal episodes. A call that finds its
    episode in no instance (after a resume, say) has it played again from its start.

    Args (of the constructor):
      name: the name that envs.make knows it by, 'gymnasium:FetchReach-v4'.
      simulator: a module of simulators.simulator's contract, 'postbc_jax.simulators.gymnasium'.
      settings: its `make`'s arguments, JSON types.
      operators: env -> its scripted operators; None for the simulator's own, where it has any.
      horizon: steps of an episode; None for the simulator's own.
      sparse: reward 1 at the step that succeeds and 0 elsewhere; False keeps the simulator's own reward.
      at_once: environments of one learner that an evaluation or a recording steps at once; twice as many instances
        are kept for each learner.
      workers: processes; None for one a core.
      timeout: seconds after which a worker that has not answered is taken for hung.

    Raises (in the constructor):
      ValueError: the simulator refuses its settings, or has no horizon and none is given.
      HostError: its process dies. From a callback it reaches the caller as a jax.errors.JaxRuntimeError or, by the way
        that jax dispatched the program, a ValueError, with the line 'HostError: ...' in its text.
    """

    regions = ('all',)

    def __init__(
        self,
        name: str,
        simulator: str,
        settings: dict[str, Any],
        operators: Callable[['HostEnv'], dict[str, Operator]] | None = None,
        horizon: int | None = None,
        sparse: bool = True,
        at_once: int = 4,
        workers: int | None = None,
        timeout: float = 300.0,
    ):
        for setting, value in (('horizon', horizon), ('at_once', at_once), ('workers', workers)):
            if value is not None and value < 1:
                raise ValueError(f'{name}: {setting}={value} must be at least 1')
        if not timeout > 0:
            raise ValueError(f'{name}: timeout={timeout} must be above 0 seconds')
        self.pool = Pool(name, simulator, settings, workers, timeout)
        self.spec = self.pool.spec
        self.name, self.sparse, self.at_once, self._operators = name, sparse, at_once, operators
        self.horizon = horizon or self.spec.horizon
        if self.horizon is None:
            raise ValueError(f'{name}: it has no time limit of its own: set --config.env_settings.horizon')
        self.obs_keys = self.spec.obs_keys

    @property
    def observation_size(self) -> int:
        """O."""
        return self.pool.obs_size

    @property
    def action_size(self) -> int:
        """A."""
        return len(self.spec.action_low)

    @property
    def backend(self) -> str:
        """No physics pipeline of brax runs underneath."""
        return 'host'

    def env_args(self) -> dict[str, Any]:
        """The description that robomimic files carry under `env_args`."""
        return self.spec.env_args

    def operators(self) -> dict[str, Operator]:
        """The scripted demonstrators by name; none where nobody wrote any."""
        if self._operators is not None:
            return self._operators(self)
        return {name: OwnOperator(env=self, index=index) for index, name in enumerate(self.spec.operators)}

    def reset(self, rng: jax.Array) -> State:
        """Starts the episode of a raw key (2,); for the key UNUSED nothing is started and the state means nothing."""
        shapes = (_shape(self.observation_size), _shape(2, dtype=jnp.uint32))
        obs, digest = host_call(self._reset, shapes, rng)
        zero = jnp.zeros(())
        return State(
            pipeline_state=HostState(
                key=rng,
                digest=digest,
                steps=jnp.int32(0),
                actions=jnp.zeros((self.horizon, self.action_size)),
                obs=obs,
            ),
            obs=obs,
            reward=zero,
            done=zero,
            metrics={'success': zero},
            info={'region': jnp.int32(0), 'truncated': zero},
        )

    def step(self, state: State, action: jax.Array) -> State:
        """Plays one action (A,), clipped to the simulator's bounds; a state that is done stays as it is."""
        return self.play(state, action[None])[0]

    def play(self, state: State, actions: jax.Array) -> tuple[State, jax.Array]:
        """Plays actions (T, A), clipped, until the episode ends, in one callback.

        Returns:
          The state after them, whose reward is the sum, and how many were played (int32).
        """
        episode = state.pipeline_state
        actions = jnp.clip(actions, jnp.array(self.spec.action_low), jnp.array(self.spec.action_high))
        scalar = _shape()
        shapes = {
            'obs': _shape(self.observation_size),
            **dict.fromkeys(('reward', 'ended', 'truncated', 'success', 'played'), scalar),
            'digest': _shape(2, dtype=jnp.uint32),
        }
        found = host_call(self._play, shapes, *_told(episode), actions, state.done == 0)
        played = found['played'].astype(jnp.int32)
        rows = jnp.arange(len(actions))
        # An episode that goes on beyond the horizon is a time-out: it will not be played again.
        rows = jnp.where(rows < played, episode.steps + rows, self.horizon)
        episode = HostState(
            key=episode.key,
            digest=found['digest'],
            steps=episode.steps + played,
            actions=episode.actions.at[rows].set(actions, mode='drop'),
            obs=found['obs'],
        )
        live = state.done == 0
        success = jnp.where(live, found['success'], state.metrics['success'])
        after = state.replace(
            pipeline_state=episode,
            obs=found['obs'],
            reward=jnp.where(live, found['success'] if self.sparse else found['reward'], 0.0),
            done=jnp.where(live, found['ended'], state.done),
            metrics=state.metrics | {'success': success},
            info=state.info | {'truncated': jnp.where(live, found['truncated'], state.info['truncated'])},
        )
        return after, played

    def act(self, state: State, operator: jax.Array) -> jax.Array:
        """The action (A,) of the simulator's own operator of this index, at the present of the episode."""
        live = state.done == 0
        return host_call(self._act, _shape(self.action_size), *_told(state.pipeline_state), operator, live)

    def _reset(self, keys):
        batch = keys.shape[:-1]
        keys = keys.reshape(-1, 2)
        obs, digests = self.pool.reset(keys, np.any(keys != UNUSED, axis=1))
        return obs.reshape((*batch, -1)), digests.reshape((*batch, 2))

    def _play(self, *arguments):
        batch, arguments = _flat(arguments)
        found = self.pool.play(*arguments, last=self.horizon)
        return {name: value.reshape((*batch, *value.shape[1:])) for name, value in found.items()}

    def _act(self, *arguments):
        batch, arguments = _flat(arguments)
        return self.pool.act(*arguments).reshape((*batch, -1))


@struct.dataclass
class OwnOperator(Operator):
    """A scripted operator that the simulator brings: it acts in the worker; `noise` is added here.

    Attributes:
      env: the environment.
      index: its place among the operators that the simulator names.
    """

    env: HostEnv = struct.field(pytree_node=False, default=None)
    index: int = 0

    def init(self, state: State, key: jax.Array) -> Memory:
        """None: what it remembers is in the simulator."""
        return ()

    def __call__(self, state: State, memory: Memory, key: jax.Array) -> tuple[jax.Array, Memory]:
        """Its action (A,), with noise."""
        action = self.env.act(state, jnp.asarray(self.index, jnp.int32))
        return action + self.noise * jax.random.normal(key, action.shape), memory


def _shape(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def _told(episode: HostState) -> tuple[jax.Array, ...]:
    return episode.key, episode.digest, episode.steps, episode.actions, episode.obs


def _flat(arrays: tuple[np.ndarray, ...]) -> tuple[tuple[int, ...], list[np.ndarray]]:
    """The batch's shape, that of the last array, and all of them with one batch dimension."""
    batch = arrays[-1].shape
    return batch, [array.reshape(-1, *array.shape[len(batch) :]) for array in arrays]
