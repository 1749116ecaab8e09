"""PPO (arXiv 1707.06347) for one learner with many vectorised environments; on steer(env, policy), DSRL's default.

Finetuning: reads frozen policies, gives SteeredPolicies. Unrolls, wrappers and GAE are brax's.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from brax.envs.base import Env, State
from brax.training import acting
from brax.training.agents.ppo.losses import compute_gae
from flax import struct
from jax.sharding import PartitionSpec as P

from postbc_jax import parallel
from postbc_jax.envs.wrappers import wrap
from postbc_jax.finetune import actor, episodes, losses, rewards
from postbc_jax.finetune.samples import Samples, by_group, minibatches, pack, standardise
from postbc_jax.finetune.steer import SteeredPolicy
from postbc_jax.networks import MLP, check_network
from postbc_jax.types import Metrics, Params, Trainer


@dataclasses.dataclass(frozen=True)
class PPOConfig:
    """What all learners of a PPO population share.

    Attributes:
      iterations_per_chunk: iterations (unroll, then epochs of updates) in one compiled call.
      environments: of each learner.
      unroll: decisions an iteration and environment; 0 is one whole episode.
      hidden, activation: of the actor and of the critic.
      learning_rate: Adam's.
      epochs: passes over an iteration's samples.
      minibatches: updates a pass.
      groups: samples are shuffled within groups of environments, and a minibatch holds the same share of every group:
        so that the data axis can hold whole groups, and the numbers do not depend on the device count.
      discount: once per decision. At 1 the return is success within the horizon: a time-out then ends it, because
        bootstrapping without a discount has no unique value. Below 1 a time-out is no end of the task.
      gae_lambda: lambda of generalised advantage estimation.
      clip: of the probability ratio.
      value_cost: weight of half the squared value error.
      entropy_cost: weight of the actor's entropy.
      max_gradient_norm: of the global norm of actor and critic together.
      reward: 'success', 'success_minus_one' or 'env', see rewards.Reward.

    Raises:
      ValueError: a value that cannot be run.
    """

    iterations_per_chunk: int
    environments: int = 512
    unroll: int = 0
    hidden: tuple[int, ...] = (64, 64)
    activation: str = 'tanh'
    learning_rate: float = 1e-3
    epochs: int = 4
    minibatches: int = 4
    groups: int = 8
    discount: float = 1.0
    gae_lambda: float = 0.95
    clip: float = 0.2
    value_cost: float = 0.5
    entropy_cost: float = 0.0
    max_gradient_norm: float = 1.0
    reward: str = 'success'

    def __post_init__(self):
        for name in ('iterations_per_chunk', 'environments', 'epochs', 'minibatches', 'groups'):
            if getattr(self, name) < 1:
                raise ValueError(f'dsrl_ppo.{name}={getattr(self, name)}: must be at least 1')
        for name in ('learning_rate', 'clip', 'max_gradient_norm'):
            if not getattr(self, name) > 0:
                raise ValueError(f'dsrl_ppo.{name}={getattr(self, name)}: must be above 0')
        if self.unroll < 0:
            raise ValueError(f'dsrl_ppo.unroll={self.unroll}: decisions, or 0 for one whole episode')
        if not 0 <= self.gae_lambda <= 1:
            raise ValueError(f'dsrl_ppo.gae_lambda={self.gae_lambda}: must lie in [0, 1]')
        if self.environments % self.groups:
            raise ValueError(
                f'dsrl_ppo.environments={self.environments}: must be a multiple of dsrl_ppo.groups={self.groups}'
            )
        if not self.value_cost >= 0:
            raise ValueError(f'dsrl_ppo.value_cost={self.value_cost}: must be at least 0')
        rewards.check(self.reward, self.discount)
        check_network(self.hidden, self.activation)

    def group_samples(self, horizon: int) -> int:
        """How many samples an iteration gives a group, in an environment of so many decisions an episode.

        Raises:
          ValueError: the minibatches do not divide them.
        """
        decisions = self.unroll or horizon
        samples = decisions * self.environments // self.groups
        if samples % self.minibatches:
            raise ValueError(
                f'dsrl_ppo.minibatches={self.minibatches}: must divide the {samples} samples of a group '
                f'({decisions} decisions x {self.environments} environments / {self.groups} groups)'
            )
        return samples


@struct.dataclass
class PPOState:
    """One learner.

    Attributes:
      iteration: int32.
      env_steps: int32, steps played in the environments so far.
      key: typed.
      params: {'actor', 'critic'}.
      optimiser: optax's state.
      environments: the batched brax State; its rows are split over devices.
    """

    iteration: jax.Array
    env_steps: jax.Array
    key: jax.Array
    params: Params
    optimiser: Any
    environments: State


def ppo(make_env: Callable[[Any], Env], config: PPOConfig) -> Trainer:
    """The trainer of one finetuned policy; `policy(state, data)` gives a SteeredPolicy that acts by its mode.

    Args:
      make_env: data -> an unbatched brax Env with `horizon` (decisions), `bound` (of its action) and
        metrics['success'], as made by steer; data is one learner's, its frozen policy.
      config: shared by all learners.

    Raises:
      ValueError: from init, where the samples do not divide into minibatches; from init and run_chunk, where the groups
        do not divide into devices.
    """
    optimiser = optax.chain(optax.clip_by_global_norm(config.max_gradient_norm), optax.adam(config.learning_rate))
    critic = MLP(config.hidden, 1, config.activation)

    def build(data) -> tuple[Env, actor.ActorConfig]:
        env = rewards.Reward(make_env(data), config.reward, config.discount)
        actor_config = actor.ActorConfig('gaussian', env.action_size, env.bound, config.hidden, config.activation)
        return wrap(env, env.horizon), actor_config

    def value(params: Params, obs: jax.Array) -> jax.Array:
        return critic.apply(params['critic'], obs)[0]

    def init(key: jax.Array, data: Any) -> PPOState:
        env, actor_config = build(data)
        config.group_samples(env.horizon)
        actor_key, critic_key, environment_key, key = jax.random.split(key, 4)
        rows = parallel.row_keys(environment_key, parallel.local_rows(config.environments))
        environments = env.reset(jax.random.key_data(rows))
        obs = environments.obs[0]
        params = {'actor': actor.init(actor_config, actor_key, obs.size), 'critic': critic.init(critic_key, obs)}
        zero = jnp.zeros((), jnp.int32)
        return PPOState(
            iteration=zero,
            env_steps=zero,
            key=key,
            params=params,
            optimiser=optimiser.init(params),
            environments=environments,
        )

    def unroll(state: PPOState, key: jax.Array, data: Any) -> tuple[State, Samples, Metrics]:
        """Plays the environments on. Samples lead with (U, E): decisions, this device's environments."""
        env, actor_config = build(data)
        groups = parallel.local_rows(config.groups)

        def behave(obs, key):  # one key a group, not a row: hashing costs more than the actor
            shape = config.environments // config.groups, actor_config.noise_size
            normal = jax.vmap(lambda k: jax.random.normal(k, shape))(parallel.row_keys(key, groups))
            act = jax.vmap(actor.draw, in_axes=(None, None, 0, 0))
            drawn = act(actor_config, state.params['actor'], obs, normal.reshape(-1, actor_config.noise_size))
            values = jax.vmap(value, in_axes=(None, 0))(state.params, obs)
            return drawn.raw, {'log_prob': drawn.log_prob, 'value': values}

        fields = episodes.fields(state.environments.info)
        decisions = config.unroll or env.horizon
        environments, played = acting.generate_unroll(env, state.environments, behave, key, decisions, fields)
        done, extras = 1 - played.discount, played.extras['policy_extras']
        advantage, target = advantages(
            done=done,
            truncation=played.extras['state_extras']['truncation'],
            reward=played.reward,
            values=extras['value'],
            bootstrap=jax.vmap(value, in_axes=(None, 0))(state.params, environments.obs),
            config=config,
        )
        samples = Samples(played.observation, played.action, extras['log_prob'], advantage, target)
        return environments, samples, episodes.totals(done, played.extras['state_extras'], config.environments)

    def loss(params: Params, batch: Samples, actor_config: actor.ActorConfig) -> tuple[jax.Array, Metrics]:
        def example(sample: Samples):
            loc, std = actor.parameters(actor_config, params['actor'], sample.obs)
            log_prob = actor.log_prob(actor_config, loc, std, sample.raw)
            return {
                'policy_loss': losses.clipped_surrogate(log_prob, sample.log_prob, sample.advantage, config.clip),
                'value_loss': 0.5 * jnp.square(value(params, sample.obs) - sample.target),
                'kl': losses.kl_estimate(log_prob, sample.log_prob),
                'clipped': jnp.abs(jnp.expm1(log_prob - sample.log_prob)) > config.clip,
            }

        metrics = jax.tree.map(jnp.mean, jax.vmap(example)(batch))
        log_std = params['actor']['log_std']
        metrics['entropy'] = jnp.sum(log_std + 0.5 * jnp.log(2 * jnp.pi * jnp.e))
        metrics['std'] = jnp.exp(log_std).mean()
        total = metrics['policy_loss'] + config.value_cost * metrics['value_loss']
        return total - config.entropy_cost * metrics['entropy'], metrics

    def iterate(state: PPOState, data: Any) -> tuple[PPOState, tuple[Metrics, Metrics]]:
        unroll_key, shuffle_key = jax.random.split(jax.random.fold_in(state.key, state.iteration))
        environments, samples, totals = unroll(state, unroll_key, data)
        packed, unpack = pack(by_group(samples, parallel.local_rows(config.groups)))
        _, actor_config = build(data)

        def update(carry, rows):  # rows (G, B): one minibatch's, in each group
            params, optimiser_state = carry
            batch = unpack(jax.vmap(lambda x, i: x[i])(packed, rows))
            batch = batch._replace(advantage=standardise(batch.advantage))
            grads, metrics = jax.grad(loss, has_aux=True)(params, batch, actor_config)
            grads, metrics = parallel.data_mean((grads, metrics))
            updates, optimiser_state = optimiser.update(grads, optimiser_state)
            metrics['gradient_norm'] = optax.tree.norm(grads)
            return (optax.apply_updates(params, updates), optimiser_state), metrics

        rows = minibatches(shuffle_key, *packed.shape[:2], config.epochs, config.minibatches)
        (params, optimiser_state), metrics = jax.lax.scan(update, (state.params, state.optimiser), rows)
        state = state.replace(
            iteration=state.iteration + 1,
            env_steps=state.env_steps + jnp.round(totals['steps']).astype(jnp.int32),
            params=params,
            optimiser=optimiser_state,
            environments=environments,
        )
        return state, (jax.tree.map(jnp.mean, metrics), totals)

    def run_chunk(state: PPOState, data: Any) -> tuple[PPOState, Metrics]:
        state, (metrics, totals) = jax.lax.scan(
            lambda state, _: iterate(state, data), state, length=config.iterations_per_chunk
        )
        return state, jax.tree.map(jnp.mean, metrics) | episodes.means(totals) | {'env_steps': state.env_steps}

    def policy(state: PPOState, data: Any) -> SteeredPolicy:
        _, actor_config = build(data)
        return SteeredPolicy(policy=data, params=state.params['actor'], actor_config=actor_config)

    learner = P(parallel.LEARNER)
    spec = {field.name: learner for field in dataclasses.fields(PPOState)}
    return Trainer(
        init=init,
        run_chunk=run_chunk,
        policy=policy,
        state_spec=PPOState(**spec | {'environments': P(parallel.LEARNER, parallel.DATA)}),
        data_spec=learner,
        rows=(config.groups,),
    )


def advantages(
    done: jax.Array,
    truncation: jax.Array,
    reward: jax.Array,
    values: jax.Array,
    bootstrap: jax.Array,
    config: PPOConfig,
) -> tuple[jax.Array, jax.Array]:
    """Generalised advantages (arXiv 1506.02438, Eq. 16) and value targets, both (U, E).

    Args:
      done: (U, E), 1 where an episode ended, in whatever way.
      truncation: (U, E), 1 where it ended by time-out alone. There brax's compute_gae drops the step: its next value
        is another episode's.
      reward, values: (U, E).
      bootstrap: (E,), the value after the unroll.
      config: discount, gae_lambda.
    """
    truncation = truncation if config.discount < 1 else jnp.zeros_like(truncation)
    target, _ = compute_gae(
        truncation=truncation,
        termination=done * (1 - truncation),
        rewards=reward,
        values=values,
        bootstrap_value=bootstrap,
        lambda_=config.gae_lambda,
        discount=config.discount,
    )
    return target - values, target  # compute_gae's own advantage gives the next step's surprise no lambda
