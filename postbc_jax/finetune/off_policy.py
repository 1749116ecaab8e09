"""Off-policy finetuning of one learner with few environments: what sac and dsrl_na share, which is all but the update.

Finetuning: environments, replay rings, warm-up, batches and the compiled chunk. Steps, wrappers and the replay queue
are brax's.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State
from brax.training import acting
from brax.training.replay_buffers import ReplayBufferState
from brax.training.types import Transition
from flax import struct
from jax.sharding import PartitionSpec as P

from postbc_jax import parallel
from postbc_jax.data import bootstrap
from postbc_jax.envs.wrappers import wrap
from postbc_jax.finetune import actor, episodes, rewards
from postbc_jax.finetune.off_policy_config import OffPolicyConfig
from postbc_jax.finetune.replay import Ring
from postbc_jax.finetune.steer import SteeredPolicy
from postbc_jax.finetune.transitions import Transitions
from postbc_jax.policies import Policy
from postbc_jax.types import Metrics, Params, Trainer


class Problem(NamedTuple):
    """What an update needs to know of the environment: the actor's config, and what a target may be."""

    actor: actor.ActorConfig
    low: float
    high: float


class Learned(NamedTuple):
    """What updates change: params, target (Polyak averages) and optimiser (every optimiser's state)."""

    params: Params
    target: Params
    optimiser: Any


class Method(NamedTuple):
    """What makes the shared loop one algorithm or another; functions of ONE learner.

    Attributes:
      init: (two keys, data, obs_size, ActorConfig) -> Learned; params hold the 'actor'.
      stored: (data, ActorConfig, obs (O,), noise (D,)) -> (D,), what the rings keep of an action.
      known: (Transitions, ActorConfig) -> (n, D), the same of fixed transitions.
      learn: (Learned, data, Problem, Transition (batches, B, ...), normal (batches, 2, B, D)) -> (Learned, metrics),
        all updates that a step of the environments is worth.
      batches: how many `learn` is given.
    """

    init: Callable[[list[jax.Array], Any, int, actor.ActorConfig], Learned]
    stored: Callable[[Any, actor.ActorConfig, jax.Array, jax.Array], jax.Array]
    known: Callable[[Transitions, actor.ActorConfig], jax.Array]
    learn: Callable[[Learned, Any, Problem, Transition, jax.Array], tuple[Learned, Metrics]]
    batches: int


@struct.dataclass
class OffPolicyState:
    """One learner.

    Attributes:
      step: int32, steps of all environments together, the warm-up's too.
      env_steps: int32, steps played in the environments so far, the warm-up's too.
      key: typed.
      params, target, optimiser: see Learned.
      environments: the batched brax State; its rows are split over devices.
      replay: one ring an environment, split like them.
    """

    step: jax.Array
    env_steps: jax.Array
    key: jax.Array
    params: Params
    target: Params
    optimiser: Any
    environments: State
    replay: ReplayBufferState


def off_policy(
    make_env: Callable[[Any], Env],
    config: OffPolicyConfig,
    method: Method,
    policy_of: Callable[[Any], Policy],
    offline: Callable[[Any], Transitions] | None,
) -> Trainer:
    """The trainer of one finetuned policy by `method`; see sac and dsrl_na, which make one.

    Args:
      make_env: data -> an unbatched brax Env with `horizon` (decisions), `bound` (of its action) and
        metrics['success'], as made by steer; data is one learner's.
      config: shared by all learners.
      method: the algorithm.
      policy_of: data -> the frozen policy.
      offline: data -> the fixed transitions of config.offline_share.

    Raises:
      ValueError: a share of nothing.
    """
    config.require('offline_share', not config.offline_share or offline is not None, 'there are no transitions to draw')
    share = config.batch_size // config.environments  # of a batch, that one environment gives ...
    known_share = round(config.offline_share * config.batch_size) // config.environments  # ... not from its ring

    def build(data: Any) -> tuple[Env, Problem]:
        env = rewards.Reward(make_env(data), config.reward, config.discount)
        actor_config = actor.ActorConfig('squashed', env.action_size, env.bound, config.hidden, config.activation)
        low, high = rewards.return_bounds(env, config.reward, config.discount)
        return wrap(env, env.horizon), Problem(actor_config, low - config.target_margin, high + config.target_margin)

    def ring(obs: jax.Array, noise_size: int) -> Ring:
        zero = jnp.zeros(())
        example = Transition(jnp.zeros_like(obs), jnp.zeros(noise_size), zero, zero, jnp.zeros_like(obs))
        return Ring(config.replay // config.environments, example, method.batches * (share - known_share))

    def play(state: OffPolicyState, data: Any, warm: bool) -> tuple[OffPolicyState, Metrics]:
        """One step of all environments, into the rings."""
        env, problem = build(data)
        actor_config = problem.actor

        def behave(obs, key):
            keys = parallel.row_keys(key, len(obs))
            normal = jax.vmap(lambda k: jax.random.normal(k, (actor_config.noise_size,)))(keys)
            if warm:
                return jnp.clip(normal, -actor_config.bound, actor_config.bound), {}
            act = jax.vmap(actor.draw, in_axes=(None, None, 0, 0))
            return act(actor_config, state.params['actor'], obs, normal).noise, {}

        key = jax.random.fold_in(jax.random.fold_in(state.key, 0), state.step)
        fields = (*episodes.fields(state.environments.info), 'final_obs')
        environments, played = acting.actor_step(env, state.environments, behave, key, fields)
        done, extras = 1 - played.discount, played.extras['state_extras']
        stored = jax.vmap(lambda obs, noise: method.stored(data, actor_config, obs, noise))
        transition = Transition(
            observation=played.observation,
            action=stored(played.observation, played.action),
            reward=played.reward,
            discount=1 - done * (1 - extras['truncation']),  # a time-out is not the end of the task
            next_observation=extras['final_obs'],  # played.next_observation may be the next episode's
        )
        rings = ring(played.observation[0], actor_config.noise_size)
        replay = jax.vmap(rings.insert_internal)(state.replay, jax.tree.map(lambda x: x[:, None], transition))
        totals = episodes.totals(done, extras, config.environments)
        state = state.replace(
            step=state.step + 1,
            env_steps=state.env_steps + jnp.round(totals['steps']).astype(jnp.int32),
            environments=environments,
            replay=replay,
        )
        return state, totals

    def init(key: jax.Array, data: Any) -> OffPolicyState:
        env, problem = build(data)
        *learned_keys, environment_key, ring_key, key = jax.random.split(key, 5)
        local = parallel.local_rows(config.environments)
        environments = env.reset(jax.random.key_data(parallel.row_keys(environment_key, local)))
        rings = ring(environments.obs[0], problem.actor.noise_size)
        zero = jnp.zeros((), jnp.int32)
        return OffPolicyState(
            step=zero,
            env_steps=zero,
            key=key,
            environments=environments,
            replay=jax.vmap(rings.init)(parallel.row_keys(ring_key, local)),
            **method.init(learned_keys, data, environments.obs.shape[1], problem.actor)._asdict(),
        )

    def warm_chunk(state: OffPolicyState, data: Any) -> tuple[OffPolicyState, Metrics]:
        steps = config.warmup_decisions // config.environments // config.warm_chunks
        state, totals = jax.lax.scan(lambda state, _: play(state, data, warm=True), state, length=steps)
        return state, episodes.means(totals) | {'env_steps': state.env_steps}

    def draw_known(state: OffPolicyState, data: Any, actor_config: actor.ActorConfig, local: int) -> Transition:
        """Rows of the fixed transitions, as often as they weigh: leaves (E, batches * known_share, ...)."""
        fixed = offline(data)
        table = Transition(
            observation=fixed.obs,
            action=method.known(fixed, actor_config),
            reward=fixed.reward,
            discount=fixed.discount,
            next_observation=fixed.next_obs,
        )
        keys = parallel.row_keys(jax.random.fold_in(jax.random.fold_in(state.key, 2), state.step), local)
        uniforms = jax.vmap(lambda k: jax.random.uniform(k, (method.batches * known_share,)))(keys)
        rows = bootstrap.draw(uniforms.ravel(), bootstrap.cumulative(fixed.weight)).reshape(uniforms.shape)
        return jax.tree.map(lambda x: x[rows], table)

    def learn(state: OffPolicyState, data: Any) -> tuple[OffPolicyState, Metrics]:
        """All updates that one step of the environments is worth; their batches are drawn in one go."""
        _, problem = build(data)
        noise_size = problem.actor.noise_size
        local = parallel.local_rows(config.environments)

        def by_batch(x):  # (E, batches * n, ...) -> (E, batches, n, ...)
            return x.reshape(local, method.batches, -1, *x.shape[2:])

        def interleave(x):  # (E, batches, share, ...) -> (batches, E * share, ...)
            return jnp.moveaxis(x, 0, 1).reshape(method.batches, local * share, *x.shape[3:])

        replay, drawn = jax.vmap(ring(state.environments.obs[0], noise_size).sample_internal)(state.replay)
        drawn = jax.tree.map(by_batch, drawn)
        if known_share:
            known = jax.tree.map(by_batch, draw_known(state, data, problem.actor, local))
            drawn = jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=2), drawn, known)
        keys = parallel.row_keys(jax.random.fold_in(jax.random.fold_in(state.key, 1), state.step), local)
        normal = jax.vmap(lambda k: jax.random.normal(k, (method.batches * share, 2, noise_size)))(keys)
        normal = jnp.moveaxis(interleave(by_batch(normal)), 2, 1)
        learned = Learned(state.params, state.target, state.optimiser)
        learned, metrics = method.learn(learned, data, problem, jax.tree.map(interleave, drawn), normal)
        return state.replace(replay=replay, **learned._asdict()), metrics

    def run_chunk(state: OffPolicyState, data: Any) -> tuple[OffPolicyState, Metrics]:
        def step(state, _):
            state, totals = play(state, data, warm=False)
            state, metrics = learn(state, data)
            return state, (metrics, totals)

        steps = config.decisions_per_chunk // config.environments
        state, (metrics, totals) = jax.lax.scan(step, state, length=steps)
        return state, jax.tree.map(jnp.mean, metrics) | episodes.means(totals) | {'env_steps': state.env_steps}

    def policy(state: OffPolicyState, data: Any) -> SteeredPolicy:
        env, problem = build(data)
        return SteeredPolicy(policy_of(data), state.params['actor'], problem.actor, limit=env.limit)

    learner, rows = P(parallel.LEARNER), P(parallel.LEARNER, parallel.DATA)
    spec = {field.name: learner for field in dataclasses.fields(OffPolicyState)} | {
        'environments': rows,
        'replay': rows,
    }
    return Trainer(
        init=init,
        run_chunk=run_chunk,
        policy=policy,
        warm_chunk=warm_chunk,
        warm_chunks=config.warm_chunks,
        state_spec=OffPolicyState(**spec),
        data_spec=learner,
        rows=(config.environments,),
    )
