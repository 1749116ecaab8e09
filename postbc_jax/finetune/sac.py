"""SAC (arXiv 1812.05905) for one learner with few environments; on steer(env, policy), the paper's DSRL-SAC.

Finetuning: reads frozen policies, gives SteeredPolicies. Steps, wrappers and the replay queue are brax's.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from brax.envs.base import Env, State
from brax.training import acting
from brax.training.replay_buffers import ReplayBufferState
from brax.training.types import Transition
from flax import struct
from jax.sharding import PartitionSpec as P

from postbc_jax import parallel
from postbc_jax.envs.wrappers import wrap
from postbc_jax.finetune import actor, episodes, losses, rewards
from postbc_jax.finetune.replay import Ring
from postbc_jax.finetune.steer import SteeredPolicy
from postbc_jax.networks import MLP, check_network
from postbc_jax.types import Metrics, Params, Trainer


@dataclasses.dataclass(frozen=True)
class SACConfig:
    """What all learners of a SAC population share. Decisions are counted over all environments of a learner.

    Attributes:
      decisions_per_chunk: decisions in one compiled call.
      environments: of each learner; each has a replay ring of its own.
      warmup_decisions: played with w ~ N(0, I), clipped to the bound, in the trainer's warm-up: that only fills the
        rings.
      replay: transitions held, over all rings.
      updates_per_step: updates after each step of all environments together; the official DSRL code calls it UTD.
      batch_size: of an update; every ring gives the same share.
      hidden, activation: of the actor and of the two critics, which have LayerNorm.
      learning_rate: Adam's, of actor, critics and temperature.
      discount: once per decision.
      tau: Polyak averaging of the target critics.
      temperature: to begin with.
      target_entropy: of the actor over [-1, 1]^D.
      target_margin: c; critics' targets are kept in [least return - c, greatest return + c].
      reward: 'success', 'success_minus_one' or 'env', see rewards.Reward.

    Raises:
      ValueError: a value that cannot be run.
    """

    decisions_per_chunk: int
    environments: int = 4
    warmup_decisions: int = 2000
    replay: int = 100_000
    updates_per_step: int = 20
    batch_size: int = 256
    hidden: tuple[int, ...] = (256, 256, 256)
    activation: str = 'tanh'
    learning_rate: float = 3e-4
    discount: float = 0.99
    tau: float = 0.005
    temperature: float = 1.0
    target_entropy: float = 0.0
    target_margin: float = 1.0
    reward: str = 'success_minus_one'

    def __post_init__(self):
        for name in ('environments', 'updates_per_step'):
            if getattr(self, name) < 1:
                raise ValueError(f'dsrl_sac.{name}={getattr(self, name)}: must be at least 1')
        for name in ('decisions_per_chunk', 'warmup_decisions', 'replay', 'batch_size'):
            value = getattr(self, name)
            if value < 1 or value % self.environments:
                raise ValueError(
                    f'dsrl_sac.{name}={value}: must be a positive multiple of dsrl_sac.environments={self.environments}'
                )
        for name in ('learning_rate', 'tau', 'temperature'):
            if not getattr(self, name) > 0:
                raise ValueError(f'dsrl_sac.{name}={getattr(self, name)}: must be above 0')
        if self.tau > 1:
            raise ValueError(f'dsrl_sac.tau={self.tau}: must be at most 1, which copies the critics')
        if self.discount >= 1:
            raise ValueError(f'dsrl_sac.discount={self.discount}: must be below 1, because time-outs are bootstrapped')
        rewards.check(self.reward, self.discount)
        check_network(self.hidden, self.activation)

    @property
    def warm_chunks(self) -> int:
        """Compiled calls of the warm-up: as few as make it up in equal parts no longer than a chunk."""
        steps, longest = (n // self.environments for n in (self.warmup_decisions, self.decisions_per_chunk))
        return steps // max(n for n in range(1, min(steps, longest) + 1) if steps % n == 0)


@struct.dataclass
class SACState:
    """One learner.

    Attributes:
      step: int32, steps of all environments together, the warm-up's too.
      env_steps: int32, steps played in the environments so far, the warm-up's too.
      key: typed.
      params: {'actor', 'critics' (leaves lead with 2), 'log_temperature'}.
      target: critics' Polyak average.
      optimiser: optax's state.
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


def sac(make_env: Callable[[Any], Env], config: SACConfig) -> Trainer:
    """The trainer of one finetuned policy; `policy(state, data)` gives a SteeredPolicy that acts by its mode.

    Args:
      make_env: data -> an unbatched brax Env with `horizon` (decisions), `bound` (of its action) and
        metrics['success'], as made by steer; data is one learner's, its frozen policy.
      config: shared by all learners.
    """
    optimiser = optax.adam(config.learning_rate)
    critic = MLP(config.hidden, 1, config.activation, layer_norm=True)
    share = config.batch_size // config.environments  # of a batch, that one ring gives
    updates = config.updates_per_step

    def build(data: Any) -> tuple[Env, actor.ActorConfig]:
        env = rewards.Reward(make_env(data), config.reward, config.discount)
        actor_config = actor.ActorConfig('squashed', env.action_size, env.bound, config.hidden, config.activation)
        return wrap(env, env.horizon), actor_config

    def ring(obs: jax.Array, noise_size: int) -> Ring:
        zero = jnp.zeros(())
        example = Transition(jnp.zeros_like(obs), jnp.zeros(noise_size), zero, zero, jnp.zeros_like(obs))
        return Ring(config.replay // config.environments, example, updates * share)

    def play(state: SACState, data: Any, warm: bool) -> tuple[SACState, Metrics]:
        """One step of all environments, into the rings."""
        env, actor_config = build(data)
        bound = actor_config.bound

        def behave(obs, key):
            keys = parallel.row_keys(key, len(obs))
            normal = jax.vmap(lambda k: jax.random.normal(k, (actor_config.noise_size,)))(keys)
            if warm:
                return jnp.clip(normal, -bound, bound), {}
            act = jax.vmap(actor.draw, in_axes=(None, None, 0, 0))
            return act(actor_config, state.params['actor'], obs, normal).noise, {}

        key = jax.random.fold_in(jax.random.fold_in(state.key, 0), state.step)
        fields = (*episodes.fields(state.environments.info), 'final_obs')
        environments, played = acting.actor_step(env, state.environments, behave, key, fields)
        done, extras = 1 - played.discount, played.extras['state_extras']
        transition = Transition(
            observation=played.observation,
            action=played.action / bound,
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

    def init(key: jax.Array, data: Any) -> SACState:
        env, actor_config = build(data)
        actor_key, critic_key, environment_key, ring_key, key = jax.random.split(key, 5)
        local = parallel.local_rows(config.environments)
        environments = env.reset(jax.random.key_data(parallel.row_keys(environment_key, local)))
        obs, noise_size = environments.obs[0], actor_config.noise_size
        critics = jax.vmap(critic.init, in_axes=(0, None))(
            jax.random.split(critic_key), jnp.zeros(obs.size + noise_size)
        )
        params = {
            'actor': actor.init(actor_config, actor_key, obs.size),
            'critics': critics,
            'log_temperature': jnp.log(jnp.float32(config.temperature)),
        }
        zero = jnp.zeros((), jnp.int32)
        return SACState(
            step=zero,
            env_steps=zero,
            key=key,
            params=params,
            target=critics,
            optimiser=optimiser.init(params),
            environments=environments,
            replay=jax.vmap(ring(obs, noise_size).init)(parallel.row_keys(ring_key, local)),
        )

    def warm_chunk(state: SACState, data: Any) -> tuple[SACState, Metrics]:
        steps = config.warmup_decisions // config.environments // config.warm_chunks
        state, totals = jax.lax.scan(lambda state, _: play(state, data, warm=True), state, length=steps)
        return state, episodes.means(totals) | {'env_steps': state.env_steps}

    def values(critics: Params, obs: jax.Array, action: jax.Array) -> jax.Array:
        """Both critics: (2,); action (D,) in [-1, 1]."""
        return jax.vmap(critic.apply, in_axes=(0, None))(critics, jnp.concatenate([obs, action]))[:, 0]

    def loss(params: Params, target: Params, batch: Transition, normal: jax.Array, env, actor_config):
        """normal: (2, B, D), for the actions at this observation and at the next."""
        low, high = rewards.return_bounds(env, config.reward, config.discount)
        low, high = low - config.target_margin, high + config.target_margin
        frozen = jax.lax.stop_gradient(params)
        temperature = jnp.exp(frozen['log_temperature'])

        def example(t: Transition, normal_now: jax.Array, normal_next: jax.Array) -> Metrics:
            now = actor.draw(actor_config, params['actor'], t.observation, normal_now)
            following = actor.draw(actor_config, frozen['actor'], t.next_observation, normal_next)
            q_next = values(target, t.next_observation, following.noise / actor_config.bound)
            discount = config.discount * t.discount
            aim = losses.soft_target(t.reward, discount, q_next, following.log_prob, temperature, low, high)
            q = values(params['critics'], t.observation, t.action)
            q_now = values(frozen['critics'], t.observation, now.noise / actor_config.bound)
            return {
                'critic_loss': 0.5 * jnp.square(q - aim).sum(),
                'policy_loss': losses.soft_policy(q_now, now.log_prob, temperature),
                'temperature_loss': losses.temperature_loss(
                    params['log_temperature'], now.log_prob, config.target_entropy
                ),
                'entropy': -now.log_prob,
                'q': q.mean(),
            }

        metrics = jax.tree.map(jnp.mean, jax.vmap(example)(batch, *normal))
        metrics['temperature'] = temperature
        return metrics['critic_loss'] + metrics['policy_loss'] + metrics['temperature_loss'], metrics

    def learn(state: SACState, data: Any) -> tuple[SACState, Metrics]:
        """All updates that one step of the environments is worth; their batches are drawn in one go."""
        env, actor_config = build(data)
        noise_size = actor_config.noise_size
        local = parallel.local_rows(config.environments)

        def interleave(x):  # (E, updates * share, ...) -> (updates, E * share, ...)
            x = x.reshape(local, updates, share, *x.shape[2:])
            return jnp.moveaxis(x, 0, 1).reshape(updates, local * share, *x.shape[3:])

        replay, drawn = jax.vmap(ring(state.environments.obs[0], noise_size).sample_internal)(state.replay)
        keys = parallel.row_keys(jax.random.fold_in(jax.random.fold_in(state.key, 1), state.step), local)
        normal = jax.vmap(lambda k: jax.random.normal(k, (updates * share, 2, noise_size)))(keys)
        normal = jnp.moveaxis(interleave(normal), 2, 1)

        def update(carry, inputs):
            params, target, optimiser_state = carry
            grads, metrics = jax.grad(loss, has_aux=True)(params, target, *inputs, env, actor_config)
            grads, metrics = parallel.data_mean((grads, metrics))
            step, optimiser_state = optimiser.update(grads, optimiser_state)
            params = optax.apply_updates(params, step)
            target = optax.incremental_update(params['critics'], target, config.tau)
            metrics['gradient_norm'] = optax.tree.norm(grads)
            return (params, target, optimiser_state), metrics

        carry = state.params, state.target, state.optimiser
        inputs = jax.tree.map(interleave, drawn), normal
        (params, target, optimiser_state), metrics = jax.lax.scan(update, carry, inputs)
        state = state.replace(params=params, target=target, optimiser=optimiser_state, replay=replay)
        return state, jax.tree.map(jnp.mean, metrics)

    def run_chunk(state: SACState, data: Any) -> tuple[SACState, Metrics]:
        def step(state, _):
            state, totals = play(state, data, warm=False)
            state, metrics = learn(state, data)
            return state, (metrics, totals)

        steps = config.decisions_per_chunk // config.environments
        state, (metrics, totals) = jax.lax.scan(step, state, length=steps)
        return state, jax.tree.map(jnp.mean, metrics) | episodes.means(totals) | {'env_steps': state.env_steps}

    def policy(state: SACState, data: Any) -> SteeredPolicy:
        _, actor_config = build(data)
        return SteeredPolicy(policy=data, params=state.params['actor'], actor_config=actor_config)

    learner, rows = P(parallel.LEARNER), P(parallel.LEARNER, parallel.DATA)
    spec = {field.name: learner for field in dataclasses.fields(SACState)} | {'environments': rows, 'replay': rows}
    return Trainer(
        init=init,
        run_chunk=run_chunk,
        policy=policy,
        warm_chunk=warm_chunk,
        warm_chunks=config.warm_chunks,
        state_spec=SACState(**spec),
        data_spec=learner,
        rows=(config.environments,),
    )
