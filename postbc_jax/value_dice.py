"""ValueDICE (Kostrikov et al., 2020, arXiv 1912.05032), offline: imitation by matching visits instead of actions.

Beside pretrain: reads the demonstrations' windows, gives a Gaussian Policy that finetuning starts from. No posterior.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import PartitionSpec as P

from postbc_jax import networks, parallel, policies
from postbc_jax.data import bootstrap
from postbc_jax.data.normaliser import Normaliser
from postbc_jax.data.windows import Windows
from postbc_jax.types import Params, Trainer


@dataclasses.dataclass(frozen=True)
class ValueDICEConfig:
    """What all learners of a ValueDICE population share. Defaults are the paper's and its official code's.

    Attributes:
      policy: the actor, of the family 'gaussian'.
      steps_per_chunk: optimiser steps, of nu and the actor together, in one compiled call.
      batch_size: demonstrated decisions a step.
      hidden: widths of nu's hidden layers.
      learning_rate: the actor's Adam's.
      nu_learning_rate: nu's Adam's.
      gradient_penalty: weight of the penalty on nu's gradient.
      orthogonal: weight of the actor's orthogonal regularisation.
      discount: once per decision.
      ema_decay: of the actor's exponential moving average, which is the policy, as pretrain's is; 0 is the last actor,
        which the paper evaluates. The two players of a saddle point circle it, an average less so.

    Raises:
      ValueError: a value that cannot be run, or a policy of another family.
    """

    policy: policies.PolicyConfig
    steps_per_chunk: int
    batch_size: int = 256
    hidden: tuple[int, ...] = (256, 256)
    learning_rate: float = 1e-5
    nu_learning_rate: float = 1e-3
    gradient_penalty: float = 10.0
    orthogonal: float = 1e-4
    discount: float = 0.99
    ema_decay: float = 0.995

    def __post_init__(self):
        if self.policy.family != 'gaussian':
            raise ValueError(f"policy.family={self.policy.family!r}: ValueDICE learns a 'gaussian' policy: choose it")
        for name in ('steps_per_chunk', 'batch_size'):
            if getattr(self, name) < 1:
                raise ValueError(f'value_dice.{name}={getattr(self, name)}: must be at least 1')
        networks.check_network(self.hidden, 'relu')
        for name in ('learning_rate', 'nu_learning_rate'):
            if not getattr(self, name) > 0:
                raise ValueError(f'value_dice.{name}={getattr(self, name)}: must be above 0')
        for name in ('gradient_penalty', 'orthogonal'):
            if not getattr(self, name) >= 0:
                raise ValueError(f'value_dice.{name}={getattr(self, name)}: must be at least 0')
        for name in ('discount', 'ema_decay'):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f'value_dice.{name}={getattr(self, name)}: must be at least 0 and less than 1')


@struct.dataclass
class ValueDICEData:
    """What ValueDICE reads, as PretrainData. S seeds, each with its own subset of demonstrations.

    Attributes:
      windows: normalised demonstrations, N steps.
      normaliser: stored with the policy.
      mask: (S, N), 1 at the steps of the seed's subset, else 0; whole demonstrations.
      source: int32, the row of `mask` that this learner reads.
    """

    windows: Windows
    normaliser: Normaliser
    mask: jax.Array
    source: jax.Array


@struct.dataclass
class ValueDICEState:
    """One learner: step int32, key, params {'actor', 'nu'}, ema (the actor's), moments (Adam's, of both)."""

    step: jax.Array
    key: jax.Array
    params: dict[str, Params]
    ema: Params
    moments: dict[str, Any]


def objective(
    nu: jax.Array,
    nu_next: jax.Array,
    nu_initial: jax.Array,
    discount: float,
    gather: Callable[[jax.Array], jax.Array] = lambda rows: rows,
) -> jax.Array:
    """ValueDICE's objective (eq. 12, on demonstrations alone), which nu minimises and the actor maximises -> ().

    log mean exp(nu(s, a) - discount nu(s', a')) - (1 - discount) mean nu(s0, a0), with a' ~ pi(s'), a0 ~ pi(s0). At its
    minimum over nu it is -KL of the policy's visits from the demonstrator's. The gradient of the first term is that of
    the differences' mean under fixed softmax weights, so that devices need share only the differences.

    Args:
      nu, nu_next, nu_initial: (B,), this device's rows.
      discount: in [0, 1).
      gather: rows of this device -> those of all that share the batch. The mean over devices of the values and of the
        gradients is then that of the whole batch.
    """
    difference = nu - discount * nu_next
    fixed = jax.lax.stop_gradient(difference)
    everyone = gather(fixed)
    log_mean_exp = jax.nn.logsumexp(everyone) - jnp.log(len(everyone))
    weighted = jnp.mean(jnp.exp(fixed - log_mean_exp) * difference)
    return log_mean_exp + weighted - jax.lax.stop_gradient(weighted) - (1 - discount) * nu_initial.mean()


def gradient_penalty(nu: Callable[[jax.Array], jax.Array], inputs: jax.Array) -> jax.Array:
    """Mean of (|gradient of nu| - 1)^2 at inputs (B, D) (arXiv 1704.00028) -> (). nu: (D,) -> ()."""
    norms = jax.vmap(lambda x: optax.safe_norm(jax.grad(nu)(x), 1e-8))(inputs)
    return jnp.square(norms - 1).mean()


def orthogonality(params: Params) -> jax.Array:
    """Sum over weight matrices W of the squared entries of W'W off its diagonal (arXiv 1809.11096, eq. 3) -> ()."""
    grams = [w.T @ w for w in jax.tree.leaves(params) if w.ndim == 2]
    return sum(jnp.square(gram * (1 - jnp.eye(len(gram)))).sum() for gram in grams)


def following(windows: Windows, step: jax.Array, start: jax.Array) -> jax.Array:
    """The step (...) of the decision after the one at `step`: `chunk` steps later, past the end in another episode.

    A chunk that reaches past its episode's end goes on in the episode that begins at step `start`, as if the episodes
    were laid end to end. Drawn with all held episodes alike, that start makes the uniform distribution over their
    steps the one that this chain keeps (episodes of at least a chunk): see value_dice.
    """
    after = step + windows.chunk
    beyond = after - jnp.asarray(windows.last)[step] - 1
    return jnp.where(beyond < 0, after, jnp.minimum(start + beyond, jnp.asarray(windows.last)[start]))


def value_dice(config: ValueDICEConfig) -> Trainer:
    """The trainer of one policy; `policy(state, data)` gives a policies.Policy. data is a ValueDICEData.

    As the official code does it offline: the replay's share is 0, so that the replay (demonstrations again) only makes
    interpolates for the penalty; every demonstrated state is an initial state; nu's layers begin orthogonal. nu has no
    constant at its end, because the objective does not know it. A learner with pretrain's key begins at the same actor.

    Where an episode ends another demonstration begins: the original goes to an absorbing state. With every state an
    initial one that is right for an endless demonstrator only. In an episode of H decisions the policy's discounted
    visits rest in the absorbing state for mean(discount^left) of the time (.78 at H = 50), the demonstrations' for 1 /
    (H + 1), so that no policy matches them, and nu pays for putting the end off. To mask nu at the end instead lets the
    objective fall for ever. In an endless run of demonstrations, initial, demonstrated and the demonstrator's own
    discounted visits are one distribution, and its own policy is the optimum.
    """
    family = policies.build(config.policy)
    network = networks.MLP(config.hidden, 1, out_bias=False)
    optimisers = {'actor': optax.adam(config.learning_rate), 'nu': optax.adam(config.nu_learning_rate)}

    def init(key: jax.Array, data: ValueDICEData) -> ValueDICEState:
        del data
        size = config.policy.obs_size + config.policy.chunk * config.policy.action_size
        nu_key = jax.random.fold_in(key, 2)
        nu = _orthogonal(nu_key, network.init(nu_key, jnp.zeros(size)))
        params = {'actor': family.init(jax.random.fold_in(key, 0)), 'nu': nu}
        return ValueDICEState(
            step=jnp.zeros((), jnp.int32),
            key=jax.random.fold_in(key, 1),
            params=params,
            ema=params['actor'],
            moments={name: optimisers[name].init(params[name]) for name in params},
        )

    def decisions(actor: Params, key: jax.Array, steps: jax.Array, afters: jax.Array, windows: Windows):
        """Inputs of nu, (D,) each, of one row: ((s, a), (s', a'), (s0, a0)), and the penalty's interpolates (2, D).

        steps, afters: (2,), of the demonstrated decision and of the replay's.
        """
        mix_key, noise_key = jax.random.split(key)
        (s, replayed), (chunk, replayed_chunk) = windows.take(steps)
        s_next, replayed_next = windows.take(afters)[0]
        noise = jax.random.normal(noise_key, (3, *family.noise_shape))
        made = [family.decode(actor, *pair) for pair in zip((s_next, replayed_next, s), noise, strict=True)]
        x, other = _join(s, chunk), _join(replayed, replayed_chunk)
        x_next, other_next, x_initial = map(_join, (s_next, replayed_next, s), made)
        share = jax.random.uniform(mix_key)
        between = jnp.stack([share * x + (1 - share) * other, share * x_next + (1 - share) * other_next])
        return x, x_next, x_initial, jax.lax.stop_gradient(between)

    def loss(params: dict[str, Params], keys: jax.Array, steps: jax.Array, afters: jax.Array, windows: Windows):
        """nu's loss; the actor's is its negative, but for the penalty, which does not depend on it."""

        def nu(x):
            return network.apply(params['nu'], x)[0]

        batched = jax.vmap(decisions, in_axes=(None, 0, 0, 0, None))
        *inputs, between = batched(params['actor'], keys, steps, afters, windows)
        values = [jax.vmap(nu)(x) for x in inputs]
        value = objective(*values, config.discount, parallel.data_gather)
        penalty = gradient_penalty(nu, between.reshape(-1, between.shape[-1]))
        obs, chunk = windows.take(steps[:, 0])
        mean, std = jax.vmap(lambda o: family.transition(params['actor'], o, None, None))(obs)
        error = jnp.square(mean - chunk).mean()
        metrics = {'objective': value, 'gradient_penalty': penalty, 'squared_error': error, 'std': std.mean()}
        return value + config.gradient_penalty * penalty, metrics

    def update(state: ValueDICEState, counts: tuple[jax.Array, jax.Array], windows: Windows):
        keys = parallel.row_keys(jax.random.fold_in(state.key, state.step), parallel.local_rows(config.batch_size))
        index_keys, keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        uniforms = jax.vmap(lambda k: jax.random.uniform(k, (2, 2)))(index_keys)  # demonstrated, replayed; step, start
        steps, starts = (bootstrap.draw(uniforms[..., i], cumulative) for i, cumulative in enumerate(counts))
        grads, metrics = jax.grad(loss, has_aux=True)(
            state.params, keys, steps, following(windows, steps, starts), windows
        )
        grads, metrics = parallel.data_mean((grads, metrics))
        regular, pull = jax.value_and_grad(orthogonality)(state.params['actor'])
        grads['actor'] = jax.tree.map(lambda g, r: config.orthogonal * r - g, grads['actor'], pull)
        params, moments = {}, {}
        for name, optimiser in optimisers.items():
            change, moments[name] = optimiser.update(grads[name], state.moments[name])
            params[name] = optax.apply_updates(state.params[name], change)
        ema = optax.incremental_update(params['actor'], state.ema, 1 - config.ema_decay)
        state = state.replace(step=state.step + 1, params=params, ema=ema, moments=moments)
        norms = {f'{name}_gradient_norm': optax.tree.norm(grad) for name, grad in grads.items()}
        return state, metrics | norms | {'orthogonality': regular}

    def run_chunk(state: ValueDICEState, data: ValueDICEData):
        mask = data.mask[data.source]
        counts = bootstrap.cumulative(mask), bootstrap.cumulative(mask * (data.windows.time == 0))
        state, metrics = jax.lax.scan(
            lambda carry, _: update(carry, counts, data.windows), state, length=config.steps_per_chunk
        )
        return state, jax.tree.map(jnp.mean, metrics)

    def policy(state: ValueDICEState, data: ValueDICEData) -> policies.Policy:
        return policies.Policy(params=state.ema, normaliser=data.normaliser, config=config.policy)

    return Trainer(
        init=init,
        run_chunk=run_chunk,
        policy=policy,
        state_spec=P(parallel.LEARNER),
        data_spec=ValueDICEData(windows=P(), normaliser=P(), mask=P(), source=P(parallel.LEARNER)),
        rows=(config.batch_size,),
    )


def _join(obs: jax.Array, chunk: jax.Array) -> jax.Array:
    """nu's input (O + T A,)."""
    return jnp.concatenate([obs, chunk.ravel()])


def _orthogonal(key: jax.Array, params: Params) -> Params:
    """The same layers with orthogonal weights; biases as they are."""
    leaves, tree = jax.tree.flatten(params)
    keys = [jax.random.fold_in(key, i) for i in range(len(leaves))]

    def draw(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        # One learner's after the other's: jaxlib splits a batch of QR factorisations over XLA's threads and waits for
        # them on one of these, so that two devices on two cores wait for ever (seen with jaxlib 0.10.2).
        return jax.custom_batching.sequential_vmap(lambda k: jax.nn.initializers.orthogonal()(k, shape))(key)

    return tree.unflatten([draw(k, w.shape) if w.ndim == 2 else w for k, w in zip(keys, leaves, strict=True)])
