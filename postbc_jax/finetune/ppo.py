"""PPO (arXiv 1707.06347) for one learner with many vectorised environments, whatever it acts with (acting.Acting).

Finetuning: the trainer behind dsrl_ppo, dppo and ppo on Gaussian policies. Unrolls, wrappers and GAE are brax's.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from brax.envs.base import Env, State
from brax.training import acting as unrolling
from flax import struct
from jax.sharding import PartitionSpec as P

from postbc_jax import parallel
from postbc_jax.envs.wrappers import wrap
from postbc_jax.finetune import controls, episodes, losses, returns, rewards
from postbc_jax.finetune.acting import Acting
from postbc_jax.finetune.ppo_config import PPOConfig
from postbc_jax.finetune.samples import Samples, by_group, minibatches, pack, standardise
from postbc_jax.networks import MLP
from postbc_jax.types import Metrics, Params, Trainer


@struct.dataclass
class PPOState:
    """One learner.

    Attributes:
      iteration: int32.
      env_steps: int32, steps played in the environments so far.
      key: typed.
      params: {'actor', 'critic'}.
      optimiser: {'actor', 'critic'}, optax's states.
      return_scale: of reward_scaling; untouched without it.
      environments: the batched brax State; its rows are split over devices.
    """

    iteration: jax.Array
    env_steps: jax.Array
    key: jax.Array
    params: Params
    optimiser: Any
    return_scale: returns.ReturnScale
    environments: State


def ppo(
    make_env: Callable[[Any], Env],
    make_acting: Callable[[Env], Acting],
    config: PPOConfig,
    initial_critic: Callable[[Any], Params] | None = None,
) -> Trainer:
    """The trainer of one finetuned policy; `policy(state, data)` gives what its acting hands on.

    Args:
      make_env: data -> an unbatched brax Env with `horizon` (decisions) and metrics['success']; data is one learner's
        frozen start.
      make_acting: that Env -> how to act in it.
      config: shared by all learners.
      initial_critic: data -> the critic's parameters to begin with, of MLP(hidden, 1, activation) on the environment's
        observations; None draws them.

    Raises:
      ValueError: from init, where the samples do not divide into minibatches; from init and run_chunk, where the groups
        do not divide into devices.
    """
    critic = MLP(config.hidden, 1, config.activation)
    rates = {'actor': config.learning_rate, 'critic': config.critic_learning_rate or config.learning_rate}
    optimisers = {name: optax.adam(rate) for name, rate in rates.items()}
    clip = optax.clip_by_global_norm(config.max_gradient_norm) if config.max_gradient_norm else optax.identity()

    def build(data) -> tuple[Env, Acting]:
        env = make_env(data)
        return wrap(rewards.Reward(env, config.reward, config.discount), env.horizon), make_acting(env)

    def value(params: Params, obs: jax.Array) -> jax.Array:
        return critic.apply(params['critic'], obs)[0]

    def init(key: jax.Array, data: Any) -> PPOState:
        env, acting = build(data)
        config.group_samples(env.horizon)
        actor_key, critic_key, environment_key, key = jax.random.split(key, 4)
        rows = parallel.row_keys(environment_key, parallel.local_rows(config.environments))
        environments = env.reset(jax.random.key_data(rows))
        obs = environments.obs[0]
        params = {
            'actor': acting.init(actor_key, obs),
            'critic': initial_critic(data) if initial_critic else critic.init(critic_key, obs),
        }
        zero = jnp.zeros((), jnp.int32)
        return PPOState(
            iteration=zero,
            env_steps=zero,
            key=key,
            params=params,
            optimiser={name: optimisers[name].init(params[name]) for name in params},
            return_scale=returns.unseen(len(rows)),
            environments=environments,
        )

    def unroll(state: PPOState, key: jax.Array, data: Any) -> tuple[PPOState, Samples, Metrics]:
        """Plays the environments on. Samples lead with (U, E): decisions, this device's environments."""
        env, acting = build(data)
        groups = parallel.local_rows(config.groups)
        values_of = jax.vmap(value, in_axes=(None, 0))

        def behave(obs, key):  # one key a group, not a row: hashing costs more than a small actor
            shape = config.environments // config.groups, acting.draws
            normal = jax.vmap(lambda k: jax.random.normal(k, shape))(parallel.row_keys(key, groups))
            act = jax.vmap(acting.act, in_axes=(None, 0, 0))
            done = act(state.params['actor'], obs, normal.reshape(-1, acting.draws))._asdict()
            return done.pop('action'), done | {'value': values_of(state.params, obs)}

        fields = (*episodes.fields(state.environments.info), 'final_obs')
        decisions = config.unroll or env.horizon
        environments, played = unrolling.generate_unroll(env, state.environments, behave, key, decisions, fields)
        done, acts, extras = 1 - played.discount, played.extras['policy_extras'], played.extras['state_extras']
        return_scale, reward = state.return_scale, played.reward
        if config.reward_scaling:
            return_scale, reward = returns.scale(return_scale, reward, done, config.discount)
        advantage, target = returns.advantages(
            done=done,
            truncation=extras['truncation'],
            reward=reward,
            values=acts['value'],
            final_values=jax.vmap(values_of, in_axes=(None, 0))(state.params, extras['final_obs']),
            bootstrap=values_of(state.params, environments.obs),
            discount=config.discount,
            gae_lambda=config.gae_lambda,
        )
        samples = Samples(played.observation, acts['record'], acts['log_prob'], advantage, target)
        totals = episodes.totals(done, extras, config.environments)
        state = state.replace(
            iteration=state.iteration + 1,
            env_steps=state.env_steps + jnp.round(totals['steps']).astype(jnp.int32),
            return_scale=return_scale,
            environments=environments,
        )
        return state, samples, totals

    def iterate(state: PPOState, data: Any) -> tuple[PPOState, tuple[Metrics, Metrics]]:
        unroll_key, shuffle_key = jax.random.split(jax.random.fold_in(state.key, state.iteration))
        acts = state.iteration >= config.critic_warmup  # whether the actor learns, too
        state, samples, totals = unroll(state, unroll_key, data)
        packed, unpack = pack(by_group(samples, parallel.local_rows(config.groups)))
        _, acting = build(data)
        asked = controls.of(data)
        entropy_cost = config.entropy_cost if asked is None else config.entropy_cost + asked.entropy_cost

        def update(carry, rows):  # rows (G, B): one minibatch's, in each group
            params, optimiser_state, going = carry
            batch = unpack(jax.vmap(lambda x, i: x[i])(packed, rows))
            batch = batch._replace(advantage=standardise(batch.advantage))
            grads, metrics = jax.grad(loss, has_aux=True)(params, batch, acting, value, config, entropy_cost)
            grads, metrics = parallel.data_mean((grads, metrics))
            if config.target_kl:
                going &= metrics['kl'] <= config.target_kl
            learns = {'actor': going & acts, 'critic': going}
            grads['actor'] = _where(acts, grads['actor'], jax.tree.map(jnp.zeros_like, grads['actor']))
            metrics |= {'gradient_norm': optax.tree.norm(grads), 'dropped': 1.0 - going}
            grads, _ = clip.update(grads, clip.init(grads))
            for name in learns:
                step, after = optimisers[name].update(grads[name], optimiser_state[name])
                step = controls.slowed(step, asked)
                now = params[name], optimiser_state[name]
                now = _where(learns[name], (optax.apply_updates(params[name], step), after), now)
                params, optimiser_state = params | {name: now[0]}, optimiser_state | {name: now[1]}
            return (params, optimiser_state, going), metrics

        rows = minibatches(shuffle_key, *packed.shape[:2], config.epochs, config.minibatches)
        carry = state.params, state.optimiser, jnp.bool_(True)
        (params, optimiser_state, _), metrics = jax.lax.scan(update, carry, rows)
        return state.replace(params=params, optimiser=optimiser_state), (jax.tree.map(jnp.mean, metrics), totals)

    def run_chunk(state: PPOState, data: Any) -> tuple[PPOState, Metrics]:
        state, (metrics, totals) = jax.lax.scan(
            lambda state, _: iterate(state, data), state, length=config.iterations_per_chunk
        )
        return state, jax.tree.map(jnp.mean, metrics) | episodes.means(totals) | {'env_steps': state.env_steps}

    def policy(state: PPOState, data: Any) -> Any:
        return build(data)[1].policy(state.params['actor'])

    learner, rows = P(parallel.LEARNER), P(parallel.LEARNER, parallel.DATA)
    spec = {field.name: learner for field in dataclasses.fields(PPOState)}
    spec |= {'environments': rows, 'return_scale': returns.ReturnScale(rows, learner, learner, learner)}
    return Trainer(
        init=init,
        run_chunk=run_chunk,
        policy=policy,
        state_spec=PPOState(**spec),
        data_spec=learner,
        rows=(config.groups,),
    )


def loss(
    params: Params,
    batch: Samples,
    acting: Acting,
    value: Callable[[Params, jax.Array], jax.Array],
    config: PPOConfig,
    entropy_cost: float | jax.Array | None = None,
) -> tuple[jax.Array, Metrics]:
    """(scalar, metrics) of a minibatch of Samples (B, ...), whose advantages are standardised.

    The clipped surrogate is a mean over samples and over each one's K' steps. value: (params, obs (O,)) -> ().
    entropy_cost: in the place of the config's.
    """

    def example(sample: Samples) -> Metrics:
        log_prob, metrics = acting.log_prob(params['actor'], sample.obs, sample.record)
        advantage = acting.weights * sample.advantage
        surrogate = jax.vmap(losses.clipped_surrogate)(log_prob, sample.log_prob, advantage, acting.clips)
        return metrics | {
            'policy_loss': surrogate.mean(),
            'value_loss': 0.5 * jnp.square(value(params, sample.obs) - sample.target),
            'kl': jax.vmap(losses.kl_estimate)(log_prob, sample.log_prob).mean(),
            'clipped': (jnp.abs(jnp.expm1(log_prob - sample.log_prob)) > acting.clips).mean(),
        }

    metrics = jax.tree.map(jnp.mean, jax.vmap(example)(batch))
    total = metrics['policy_loss'] + config.value_cost * metrics['value_loss']
    entropy_cost = config.entropy_cost if entropy_cost is None else entropy_cost
    return total - entropy_cost * metrics['entropy'], metrics


def _where(condition: jax.Array, new: Any, old: Any) -> Any:
    """One of two trees."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
