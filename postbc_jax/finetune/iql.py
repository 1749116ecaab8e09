"""IQL (arXiv 2110.06169) for one learner: critics of a frozen policy, from its rollouts and from given trajectories.

Finetuning: reads frozen policies, gives BestOfNPolicies, and critics that other finetuners may begin with (critics.py).
No actor is learned: no action that was not in the data is ever asked for its value.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from brax.envs.base import Env
from flax import struct
from jax.sharding import PartitionSpec as P

from postbc_jax import parallel
from postbc_jax.data import bootstrap
from postbc_jax.envs.rollout import chunked
from postbc_jax.finetune import critics, losses, rewards
from postbc_jax.finetune.best_of_n import BestOfNPolicy
from postbc_jax.finetune.collect import collect
from postbc_jax.finetune.transitions import Transitions
from postbc_jax.policies import Policy
from postbc_jax.types import Array, Metrics, Params, Trainer


@dataclasses.dataclass(frozen=True)
class IQLConfig:
    """What all learners of an IQL population share. Defaults are those of Libero in arXiv 2512.16911, App. D.

    Attributes:
      steps_per_chunk: updates in one compiled call.
      episodes: of its own, that the frozen policy plays in the trainer's warm-up; 0 learns from given ones alone.
      episodes_per_chunk: of these, played in one compiled call.
      candidates: N of the policy that results. 32 on Libero, 4 or 16 on WidowX; 16 here, because at toy scale more
        played worse: the maximum finds what Q over-estimates.
      action: what Q reads, 'chunk' or 'noise', see critics.CriticConfig.
      bound: b; noise is divided by it.
      hidden, activation, layer_norm: of the critics.
      learning_rate: Adam's.
      batch_size: of an update.
      expectile: tau of V (.9; Robomimic .5 to .9, WidowX .7).
      discount: once per decision (.99; Robomimic .999, WidowX .97). At 1 a time-out ends the task.
      tau: Polyak averaging of the target critics.
      reward: 'success', 'success_minus_one' or 'env', see rewards.Reward.

    Raises:
      ValueError: a value that cannot be run.
    """

    steps_per_chunk: int
    episodes: int = 1000
    episodes_per_chunk: int = 100
    candidates: int = 16
    action: str = 'chunk'
    bound: float = 1.0
    hidden: tuple[int, ...] = (256, 256)
    activation: str = 'tanh'
    layer_norm: bool = False
    learning_rate: float = 3e-4
    batch_size: int = 256
    expectile: float = 0.9
    discount: float = 0.99
    tau: float = 0.005
    reward: str = 'success'

    def __post_init__(self):
        for name in ('steps_per_chunk', 'episodes_per_chunk', 'candidates', 'batch_size'):
            if getattr(self, name) < 1:
                raise ValueError(f'iql.{name}={getattr(self, name)}: must be at least 1')
        if self.episodes < 0 or self.episodes % self.episodes_per_chunk:
            raise ValueError(
                f'iql.episodes={self.episodes}: must be 0 or a multiple of '
                f'iql.episodes_per_chunk={self.episodes_per_chunk}'
            )
        if not self.learning_rate > 0:
            raise ValueError(f'iql.learning_rate={self.learning_rate}: must be above 0')
        if not 0 < self.expectile < 1:
            raise ValueError(f'iql.expectile={self.expectile}: must lie between 0 and 1; .5 is the mean')
        if not 0 < self.tau <= 1:
            raise ValueError(f'iql.tau={self.tau}: must lie in (0, 1]; 1 copies the critics')
        rewards.check(self.reward, self.discount)
        self.critics()

    def critics(self) -> critics.CriticConfig:
        """What rebuilds the critics."""
        fields = dataclasses.fields(critics.CriticConfig)
        return critics.CriticConfig(**{field.name: getattr(self, field.name) for field in fields})


@struct.dataclass
class IQLData:
    """What one learner begins with.

    Attributes:
      policy: the frozen policy.
      given: transitions from elsewhere (transitions.from_demos), the same for all learners; None for none.
      mask: (n,), 1 at the given rows that this learner may see, else 0; None for all of them.
    """

    policy: Policy
    given: Transitions | None = None
    mask: Array | None = None


@struct.dataclass
class IQLState:
    """One learner; every device that shares it holds all of it.

    Attributes:
      step: int32, updates so far.
      env_steps: int32, steps played in the environments.
      episode: int32, episodes played.
      key: typed.
      params: {'q' (leaves lead with 2), 'v'}.
      target: Polyak average of 'q'.
      optimiser: optax's state.
      collected: Transitions of its own rollouts (episodes * H, ...), weight 0 until they are played; None without.
    """

    step: jax.Array
    env_steps: jax.Array
    episode: jax.Array
    key: jax.Array
    params: Params
    target: Params
    optimiser: Any
    collected: Transitions | None


def iql(make_env: Callable[[IQLData], Env], config: IQLConfig) -> Trainer:
    """The trainer of one policy's critics; `policy(state, data)` gives a BestOfNPolicy. data is an IQLData.

    Args:
      make_env: data -> the bare environment (as evaluate.rollouts takes it), for its own rollouts.
      config: shared by all learners.

    Raises:
      ValueError: from init, where there is nothing to learn from, or given transitions lack the noise that Q reads or
        do not fit the policy.
    """
    optimiser = optax.adam(config.learning_rate)
    critic_config = config.critics()

    def init(key: jax.Array, data: IQLData) -> IQLState:
        _check_given(config, data)
        policy = data.policy.config
        size = policy.chunk * policy.action_size
        params = critics.init(critic_config, jax.random.fold_in(key, 2), policy.obs_size, size)
        collected = None
        if config.episodes:
            rows = config.episodes * chunked(make_env(data), data.policy).horizon
            wide, flat, one = (jnp.zeros((rows, *shape)) for shape in ((policy.obs_size,), (size,), ()))
            collected = Transitions(wide, flat, flat, one, one, wide, one)
        zero = jnp.zeros((), jnp.int32)
        return IQLState(
            step=zero,
            env_steps=zero,
            episode=zero,
            key=key,
            params=params,
            target=params['q'],
            optimiser=optimiser.init(params),
            collected=collected,
        )

    def warm_chunk(state: IQLState, data: IQLData) -> tuple[IQLState, Metrics]:
        """Plays the next episodes."""
        key, count = jax.random.fold_in(state.key, 0), config.episodes_per_chunk
        found = collect(make_env(data), data.policy, key, count, state.episode, config.reward, config.discount)
        transitions, played = parallel.data_gather(found)
        at = state.episode * (len(transitions.weight) // count)
        collected = jax.tree.map(
            lambda all_rows, rows: jax.lax.dynamic_update_slice_in_dim(all_rows, rows, at, 0),
            state.collected,
            transitions,
        )
        state = state.replace(
            env_steps=state.env_steps + played['steps'].sum(), episode=state.episode + count, collected=collected
        )
        metrics = {'episodes': jnp.float32(count), 'success': played['success'].mean()}
        return state, metrics | {'reward': transitions.reward.sum() / count, 'env_steps': state.env_steps}

    def loss(params: Params, target: Params, batch: Transitions, chunk: int) -> tuple[jax.Array, Metrics]:
        bounds = rewards.chunk_bounds(chunk, config.reward, config.discount)

        def example(t: Transitions) -> Metrics:
            v = critics.state_value(critic_config, params['v'], t.obs)
            v_next = critics.state_value(critic_config, params['v'], t.next_obs)
            aim = losses.value_target(t.reward, config.discount * t.discount, v_next, *bounds)
            q = critics.action_values(critic_config, params['q'], t.obs, t.chunk, t.noise)
            best = jnp.min(critics.action_values(critic_config, target, t.obs, t.chunk, t.noise))
            return {
                'q_loss': jnp.square(q - aim).sum(),
                'v_loss': losses.expectile(best - v, config.expectile),
                'q': q.mean(),
                'v': v,
                'reward': t.reward,
            }

        metrics = jax.tree.map(jnp.mean, jax.vmap(example)(batch))
        return metrics['q_loss'] + metrics['v_loss'], metrics

    def run_chunk(state: IQLState, data: IQLData) -> tuple[IQLState, Metrics]:
        sources = [source for source in (state.collected, _masked(data)) if source is not None]
        chunk = data.policy.config.chunk

        def update(carry, rows):
            params, target, optimiser_state = carry
            grads, metrics = jax.grad(loss, has_aux=True)(params, target, _take(sources, rows), chunk)
            grads, metrics = parallel.data_mean((grads, metrics))
            step, optimiser_state = optimiser.update(grads, optimiser_state)
            params = optax.apply_updates(params, step)
            target = optax.incremental_update(params['q'], target, config.tau)
            metrics['gradient_norm'] = optax.tree.norm(grads)
            return (params, target, optimiser_state), metrics

        rows = _rows(config, jax.random.fold_in(jax.random.fold_in(state.key, 1), state.step), sources)
        carry = state.params, state.target, state.optimiser
        (params, target, optimiser_state), metrics = jax.lax.scan(update, carry, rows)
        state = state.replace(
            step=state.step + config.steps_per_chunk, params=params, target=target, optimiser=optimiser_state
        )
        return state, jax.tree.map(jnp.mean, metrics) | {'env_steps': state.env_steps}

    def policy(state: IQLState, data: IQLData) -> BestOfNPolicy:
        return BestOfNPolicy(data.policy, state.params['q'], critic_config, config.candidates)

    learner = P(parallel.LEARNER)
    return Trainer(
        init=init,
        run_chunk=run_chunk,
        policy=policy,
        state_spec=learner,
        data_spec=IQLData(policy=learner, given=P(), mask=learner),
        rows=(config.batch_size, *[config.episodes_per_chunk] * bool(config.episodes)),
        warm_chunk=warm_chunk if config.episodes else None,
        warm_chunks=config.episodes // config.episodes_per_chunk,
    )


def _check_given(config: IQLConfig, data: IQLData) -> None:
    if data.given is None:
        if not config.episodes:
            raise ValueError('iql.episodes=0: nothing to learn from: play some, or give transitions with rewards')
        return
    if config.action == 'noise':
        raise ValueError("iql.action='noise': given trajectories hold no noise: choose 'chunk', or give none")
    policy = data.policy.config
    ours = policy.obs_size, policy.chunk * policy.action_size
    theirs = data.given.obs.shape[-1], data.given.chunk.shape[-1]
    if theirs != ours:
        raise ValueError(f'iql: given observations and chunks have sizes {theirs}, the policy reads and makes {ours}')


def _masked(data: IQLData) -> Transitions | None:
    """The given transitions, with weight 0 at those that this learner may not see."""
    if data.given is None or data.mask is None:
        return data.given
    return data.given.replace(weight=data.given.weight * data.mask)


def _rows(config: IQLConfig, key: jax.Array, sources: list[Transitions]) -> jax.Array:
    """Rows (steps_per_chunk, this device's share of a batch) int32 into all sources together, drawn by weight.

    All are drawn before the scan: one large search is cheaper than one a step. A batch's row draws from its own key.
    """
    local = parallel.local_rows(config.batch_size)
    keys = parallel.row_keys(key, local)
    uniforms = jax.vmap(lambda k: jax.random.uniform(k, (config.steps_per_chunk,)))(keys)
    weights = bootstrap.cumulative(jnp.concatenate([source.weight for source in sources]))
    return bootstrap.draw(uniforms.ravel(), weights).reshape(local, config.steps_per_chunk).T


def _take(sources: list[Transitions], rows: jax.Array) -> Transitions:
    """Rows (B,) of the sources, counted through; the sources themselves are not copied together."""
    if len(sources) == 1:
        return jax.tree.map(lambda x: jnp.asarray(x)[rows], sources[0])
    first, second = sources
    own = len(first.weight)

    def pick(a, b):
        taken = rows < own
        mine, theirs = a[jnp.where(taken, rows, 0)], b[jnp.where(taken, 0, rows - own)]
        return jnp.where(taken.reshape(-1, *[1] * (mine.ndim - 1)), mine, theirs)

    return jax.tree.map(pick, first, second)
