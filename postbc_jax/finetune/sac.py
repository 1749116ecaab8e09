"""SAC (arXiv 1812.05905) for one learner with few environments; on steer(env, policy), the paper's DSRL-SAC.

Finetuning: reads frozen policies, gives SteeredPolicies, by off_policy's loop. dsrl_na learns by the same updates.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from brax.envs.base import Env
from brax.training.types import Transition

from postbc_jax import parallel
from postbc_jax.finetune import actor, controls, losses, twin_critics
from postbc_jax.finetune.off_policy import Learned, Method, Problem, off_policy
from postbc_jax.finetune.off_policy_config import OffPolicyConfig
from postbc_jax.finetune.transitions import Transitions
from postbc_jax.policies import Policy
from postbc_jax.types import Metrics, Params, Trainer


@dataclasses.dataclass(frozen=True)
class SACConfig(OffPolicyConfig):
    """What all learners of a SAC population share, see OffPolicyConfig."""

    section: ClassVar[str] = 'dsrl_sac'


def sac(
    make_env: Callable[[Any], Env],
    config: SACConfig,
    *,
    policy_of: Callable[[Any], Policy] = lambda data: data,
    offline: Callable[[Any], Transitions] | None = None,
    initial_critics: Callable[[Any], Params] | None = None,
) -> Trainer:
    """The trainer of one finetuned policy; `policy(state, data)` gives a SteeredPolicy that acts by its mode.

    The state's params are {'actor', 'critics' (leaves lead with 2), 'log_temperature'}; the critics read noise / bound.

    Args:
      make_env: data -> an unbatched brax Env with `horizon` (decisions), `bound` (of its action) and
        metrics['success'], as made by steer; data is one learner's, its frozen policy unless `policy_of` says more.
      config: shared by all learners.
      policy_of: data -> the frozen policy.
      offline: data -> the transitions that config.offline_share draws from, by their noise.
      initial_critics: data -> what critics and targets start from, in place of a random initialisation.

    Raises:
      ValueError: an offline share without transitions; from init, critics of other shapes.
    """
    optimiser = optax.adam(config.learning_rate)

    def init(keys, data, obs_size: int, actor_config: actor.ActorConfig) -> Learned:
        params = init_params(config, keys, obs_size, actor_config, initial_critics and initial_critics(data))
        return Learned(params, params['critics'], optimiser.init(params))

    def stored(data, actor_config: actor.ActorConfig, obs: jax.Array, noise: jax.Array) -> jax.Array:
        return noise / actor_config.bound

    def known(transitions: Transitions, actor_config: actor.ActorConfig) -> jax.Array:
        return jnp.clip(transitions.noise / actor_config.bound, -1, 1)

    def learn(learned: Learned, data, problem: Problem, batches: Transition, normal: jax.Array):
        return soft_updates(
            config,
            optimiser,
            learned,
            problem,
            batches,
            normal,
            read=lambda obs, noise: noise / problem.actor.bound,
            climbed=lambda params: params['critics'],
            asked=controls.of(data),
        )

    method = Method(init, stored, known, learn, config.updates_per_step)
    return off_policy(make_env, config, method, policy_of, offline)


def init_params(
    config: OffPolicyConfig,
    keys: list[jax.Array],
    obs_size: int,
    actor_config: actor.ActorConfig,
    initial: Params | None,
) -> Params:
    """{'actor', 'critics', 'log_temperature'} from two keys; the critics are `initial` where given.

    Raises:
      ValueError: `initial` has other shapes than the critics.
    """
    actor_key, critic_key = keys
    network = twin_critics.network(config.hidden, config.activation, config.layer_norm)
    fresh = twin_critics.init(network, critic_key, obs_size, actor_config.noise_size)
    return {
        'actor': actor.init(actor_config, actor_key, obs_size),
        'critics': fresh if initial is None else twin_critics.check(initial, fresh, config.section),
        'log_temperature': jnp.log(jnp.float32(config.temperature)),
    }


def soft_updates(
    config: OffPolicyConfig,
    optimiser: optax.GradientTransformation,
    learned: Learned,
    problem: Problem,
    batches: Transition,
    normal: jax.Array,
    read: Callable[[jax.Array, jax.Array], jax.Array],
    climbed: Callable[[Params], Params],
    asked: controls.Controls | None = None,
) -> tuple[Learned, Metrics]:
    """Updates of actor, critics and temperature, one a batch, each followed by a step of the targets' average.

    Args:
      config: shared by all learners.
      optimiser: of all three.
      learned: params {'actor', 'critics', 'log_temperature'}, the critics' targets, and the optimiser's state.
      problem: the learner's.
      batches: leaves (n, B, ...), this device's rows; `action` is what the critics read.
      normal: (n, 2, B, D), for the actions at each observation and at the next.
      read: (obs (O,), noise (D,)) -> what the critics read of an action.
      climbed: params -> the two critics, of noise / bound, that the actor climbs.
      asked: what is changed of learning rate and target entropy.

    Returns:
      learned, and the metrics' means over the updates.
    """
    network = twin_critics.network(config.hidden, config.activation, config.layer_norm)
    bound = problem.actor.bound
    target_entropy = config.target_entropy if asked is None else config.target_entropy + asked.target_entropy

    def loss(params: Params, target: Params, batch: Transition, normal: jax.Array):
        frozen = jax.lax.stop_gradient(params)
        temperature = jnp.exp(frozen['log_temperature'])

        def example(t: Transition, normal_now: jax.Array, normal_next: jax.Array) -> Metrics:
            now = actor.draw(problem.actor, params['actor'], t.observation, normal_now)
            following = actor.draw(problem.actor, frozen['actor'], t.next_observation, normal_next)
            q_next = twin_critics.values(network, target, t.next_observation, read(t.next_observation, following.noise))
            discount = config.discount * t.discount
            aim = losses.soft_target(
                t.reward, discount, q_next, following.log_prob, temperature, problem.low, problem.high
            )
            q = twin_critics.values(network, params['critics'], t.observation, t.action)
            q_now = twin_critics.values(network, climbed(frozen), t.observation, now.noise / bound)
            return {
                'critic_loss': 0.5 * jnp.square(q - aim).sum(),
                'policy_loss': losses.soft_policy(q_now, now.log_prob, temperature),
                'temperature_loss': losses.temperature_loss(params['log_temperature'], now.log_prob, target_entropy),
                'entropy': -now.log_prob,
                'q': q.mean(),
            }

        metrics = jax.tree.map(jnp.mean, jax.vmap(example)(batch, *normal))
        metrics['temperature'] = temperature
        return metrics['critic_loss'] + metrics['policy_loss'] + metrics['temperature_loss'], metrics

    def update(learned: Learned, inputs) -> tuple[Learned, Metrics]:
        params, target, optimiser_state = learned
        grads, metrics = jax.grad(loss, has_aux=True)(params, target, *inputs)
        grads, metrics = parallel.data_mean((grads, metrics))
        step, optimiser_state = optimiser.update(grads, optimiser_state)
        params = optax.apply_updates(params, controls.slowed(step, asked))
        target = optax.incremental_update(params['critics'], target, config.tau)
        metrics['gradient_norm'] = optax.tree.norm(grads)
        return Learned(params, target, optimiser_state), metrics

    learned, metrics = jax.lax.scan(update, learned, (batches, normal))
    return learned, jax.tree.map(jnp.mean, metrics)
