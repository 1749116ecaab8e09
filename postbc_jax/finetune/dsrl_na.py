"""DSRL-NA (arXiv 2506.15799, Section 4.2): noise aliasing. Critics of chunks, distilled into critics of their noise.

Finetuning beside sac, by the same loop and updates. Several noises decode to one chunk and share what is learned of it,
and chunks that were never decoded (demonstrations) can be learned from.
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
from postbc_jax.finetune import actor, controls, twin_critics
from postbc_jax.finetune.off_policy import Learned, Method, Problem, off_policy
from postbc_jax.finetune.off_policy_config import OffPolicyConfig
from postbc_jax.finetune.sac import init_params, soft_updates
from postbc_jax.finetune.transitions import Transitions
from postbc_jax.networks import MLP
from postbc_jax.policies import Policy
from postbc_jax.types import Metrics, Params, Trainer

Decode = Callable[[Any, jax.Array, jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class NAConfig(OffPolicyConfig):
    """What all learners of a DSRL-NA population share, see OffPolicyConfig.

    Attributes:
      noise_critic_steps: updates of the noise critics after those of actor and critics, at each step of all
        environments together.
    """

    section: ClassVar[str] = 'dsrl_na'

    noise_critic_steps: int = 20

    def __post_init__(self):
        super().__post_init__()
        self.require('noise_critic_steps', self.noise_critic_steps >= 1, 'must be at least 1')


def dsrl_na(
    make_env: Callable[[Any], Env],
    config: NAConfig,
    decode: Decode,
    *,
    policy_of: Callable[[Any], Policy] = lambda data: data,
    offline: Callable[[Any], Transitions] | None = None,
    initial_critics: Callable[[Any], Params] | None = None,
) -> Trainer:
    """The trainer of one finetuned policy; `policy(state, data)` gives a SteeredPolicy that acts by its mode.

    The state's params are sac's, whose critics Q^A here read decoded chunks, and 'noise_critics' Q^W, which read
    noise / bound; the state's optimiser is {'soft', 'noise_critics'}. After each step of the environments come
    config.updates_per_step updates as sac's, with w' ~ pi(s') and Q^A(s', decode(s', w')) in the target, in which the
    actor climbs Q^W; then config.noise_critic_steps updates of Q^W, see `distil`. Only Q^A has targets.

    Args:
      make_env: data -> an unbatched brax Env with `horizon` (decisions), `bound` (of its action) and
        metrics['success'], as made by steer; data is one learner's, its frozen policy unless `policy_of` says more.
      config: shared by all learners.
      decode: (data, obs (O,), noise (D,)) -> chunk (D,), both normalised: what the environment plays of noise.
      policy_of: data -> the frozen policy.
      offline: data -> the transitions that config.offline_share draws from, by their chunk.
      initial_critics: data -> what Q^A and its targets start from, in place of a random initialisation.

    Raises:
      ValueError: an offline share without transitions; from init, critics of other shapes.
    """
    soft, distilling = optax.adam(config.learning_rate), optax.adam(config.learning_rate)
    network = twin_critics.network(config.hidden, config.activation, config.layer_norm)

    def init(keys, data, obs_size: int, actor_config: actor.ActorConfig) -> Learned:
        params = init_params(config, keys, obs_size, actor_config, initial_critics and initial_critics(data))
        key = jax.random.fold_in(keys[1], 1)
        noise_critics = twin_critics.init(network, key, obs_size, actor_config.noise_size)
        optimisers = {'soft': soft.init(params), 'noise_critics': distilling.init(noise_critics)}
        return Learned(params | {'noise_critics': noise_critics}, params['critics'], optimisers)

    def stored(data, actor_config: actor.ActorConfig, obs: jax.Array, noise: jax.Array) -> jax.Array:
        return decode(data, obs, noise)

    def known(transitions: Transitions, actor_config: actor.ActorConfig) -> jax.Array:
        return transitions.chunk

    def learn(learned: Learned, data, problem: Problem, batches: Transition, normal: jax.Array):
        params, noise_critics = dict(learned.params), learned.params['noise_critics']
        del params['noise_critics']
        now, later = (jax.tree.map(lambda x, s=s: x[s], (batches, normal)) for s in split)
        (params, target, soft_state), metrics = soft_updates(
            config,
            soft,
            Learned(params, learned.target, learned.optimiser['soft']),
            problem,
            *now,
            read=lambda obs, noise: decode(data, obs, noise),
            climbed=lambda params: noise_critics,
            asked=controls.of(data),
        )
        batches, normal = later
        noise = jnp.clip(normal[:, 0], -problem.actor.bound, problem.actor.bound)
        noise_critics, state, more = distil(
            network,
            distilling,
            noise_critics,
            learned.optimiser['noise_critics'],
            params['critics'],
            batches.observation,
            noise / problem.actor.bound,
            # Neither critics nor actor have a say in these chunks: one decoding serves all of the step's updates.
            jax.vmap(jax.vmap(lambda obs, w: decode(data, obs, w)))(batches.observation, noise),
            controls.of(data),
        )
        optimisers = {'soft': soft_state, 'noise_critics': state}
        return Learned(params | {'noise_critics': noise_critics}, target, optimisers), metrics | more

    split = slice(config.updates_per_step), slice(config.updates_per_step, None)
    method = Method(init, stored, known, learn, config.updates_per_step + config.noise_critic_steps)
    return off_policy(make_env, config, method, policy_of, offline)


def distil(
    network: MLP,
    optimiser: optax.GradientTransformation,
    noise_critics: Params,
    state: Any,
    chunk_critics: Params,
    obs: jax.Array,
    noise: jax.Array,
    chunk: jax.Array,
    asked: controls.Controls | None = None,
) -> tuple[Params, Any, Metrics]:
    """Moves Q^W_i(s, w) towards Q^A_i(s, decode(s, w)), one update a batch, by half the squared error of both i.

    Each noise critic learns from its own critic of chunks, as in the official code: towards the least of the two they
    would become equal, and the least of them that the actor climbs would doubt nothing.

    Args:
      network: of one critic, of either kind.
      optimiser: of the noise critics.
      noise_critics: Q^W.
      state: the optimiser's.
      chunk_critics: Q^A.
      obs: (n, B, O), this device's rows of n batches.
      noise: (n, B, D), w / bound in [-1, 1]. w ~ N(0, I) is clipped to the bound as the environment clips it: what is
        learned of noise that nobody can play is of no use, and of 28 entries one at least lies beyond 1.5 in 98% of w.
      chunk: (n, B, D), what w is decoded to.
      asked: what is changed of the learning rate.

    Returns:
      noise_critics, state, and means over the updates of noise_critic_loss and noise_q.
    """
    both = jax.vmap(twin_critics.values, in_axes=(None, None, 0, 0))

    def loss(params, obs, noise, aim):
        q = both(network, params, obs, noise)
        return 0.5 * jnp.square(q - aim).sum(axis=-1).mean(), q.mean()

    def update(carry, inputs):
        params, state = carry
        obs, noise, chunk = inputs
        aim = both(network, chunk_critics, obs, chunk)
        (value, q), grads = jax.value_and_grad(loss, has_aux=True)(params, obs, noise, aim)
        grads, metrics = parallel.data_mean((grads, {'noise_critic_loss': value, 'noise_q': q}))
        step, state = optimiser.update(grads, state)
        return (optax.apply_updates(params, controls.slowed(step, asked)), state), metrics

    (noise_critics, state), metrics = jax.lax.scan(update, (noise_critics, state), (obs, noise, chunk))
    return noise_critics, state, jax.tree.map(jnp.mean, metrics)
