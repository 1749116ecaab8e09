"""One member of the posterior ensemble: an action predictor fitted to its own bootstrap of the demonstrations.

Second on the pipeline: reads the demonstrations' windows, gives the Predictor whose spread over members is the
posterior's. A population of members (K a seed, S seeds) is parallel.population of this trainer.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import PartitionSpec as P

from postbc_jax import losses, parallel
from postbc_jax.data import bootstrap
from postbc_jax.data.windows import Windows
from postbc_jax.networks import mlp
from postbc_jax.types import Trainer

HEADS = ('mse', 'gaussian')
BOOTSTRAPS = ('trajectory', 'pair', 'perturbed')
LOG_STD_BOUNDS = (-5.0, 1.0)  # of the Gaussian head, in normalised action units


@dataclasses.dataclass(frozen=True)
class EnsembleConfig:
    """What all members share. Hashable; dataclasses.asdict of it is JSON.

    Attributes:
      hidden: widths of the hidden layers; () is a linear predictor.
      activation: a name in networks.mlp.ACTIVATIONS.
      head: 'mse' predicts the chunk; 'gaussian' also its standard deviation, by maximum likelihood. The posterior is
        the spread of the predicted means either way.
      bootstrap: what a member sees (arXiv 2512.16911, Section 5 and App. C): 'trajectory', as many demonstrations as
        there are, drawn with replacement; 'pair', the same of single steps; 'perturbed', every step once, its action
        plus N(0, target_std^2) drawn once a member.
      target_std: of 'perturbed', in normalised action units.
      steps: optimiser steps of the whole fit; the learning rate falls over them by a cosine to final_rate of its peak,
        so that the spread over members is the bootstrap's and not the last minibatches'.
      steps_per_chunk: optimiser steps in one compiled call.
      batch_size: windows a step.
      learning_rate: Adam's, at its peak.
      final_rate: the last learning rate as a share of the peak.
      weight_decay: decoupled, as in AdamW.
    """

    hidden: tuple[int, ...] = (256, 256, 256)
    activation: str = 'relu'
    head: str = 'mse'
    bootstrap: str = 'trajectory'
    target_std: float = 0.1
    steps: int = 3000
    steps_per_chunk: int = 500
    batch_size: int = 256
    learning_rate: float = 1e-3
    final_rate: float = 0.01
    weight_decay: float = 0.0

    def __post_init__(self):
        mlp.check_network(self.hidden, self.activation)
        for name, choices in (('head', HEADS), ('bootstrap', BOOTSTRAPS)):
            if getattr(self, name) not in choices:
                raise ValueError(f'EnsembleConfig.{name}={getattr(self, name)!r}: choose one of {", ".join(choices)}')
        for name in ('steps', 'steps_per_chunk', 'batch_size'):
            if getattr(self, name) < 1:
                raise ValueError(f'EnsembleConfig.{name}={getattr(self, name)}: must be at least 1')
        for name, least in (('target_std', 0.0), ('learning_rate', 0.0), ('final_rate', 0.0), ('weight_decay', 0.0)):
            if not getattr(self, name) >= least:
                raise ValueError(f'EnsembleConfig.{name}={getattr(self, name)}: must be at least {least:g}')
        if self.final_rate > 1:
            raise ValueError(f'EnsembleConfig.final_rate={self.final_rate}: must lie in [0, 1]')


@struct.dataclass
class Predictor:
    """A fitted member: called with an observation it gives the mean action chunk, all normalised.

    Attributes:
      params: of the network.
      config: the ensemble's.
      shape: (T, A) of a chunk.
    """

    params: Any
    config: EnsembleConfig = struct.field(pytree_node=False)
    shape: tuple[int, int] = struct.field(pytree_node=False)

    def __call__(self, obs: jax.Array) -> jax.Array:
        """obs (..., O) -> chunk (..., T, A)."""
        return _moments(self.config, self.shape, self.params, obs)[0]

    def moments(self, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """obs (..., O) -> the chunk's mean and standard deviation (..., T, A), of the Gaussian head alone.

        Raises:
          ValueError: the head is another, which predicts no deviation.
        """
        mean, log_std = _moments(self.config, self.shape, self.params, obs)
        if log_std is None:
            raise ValueError(f'EnsembleConfig.head={self.config.head!r}: only a gaussian head predicts a deviation')
        return mean, jnp.exp(log_std)


@struct.dataclass
class EnsembleState:
    """One member: step int32, key (of its batches), noise_key (of its perturbed targets), counts (N,) of the
    bootstrap, params, moments (Adam's)."""

    step: jax.Array
    key: jax.Array
    noise_key: jax.Array
    counts: jax.Array
    params: Any
    moments: Any


def ensemble(config: EnsembleConfig) -> Trainer:
    """The trainer of one member; `policy(state, data)` gives its Predictor.

    data is {'windows': Windows, the same for all members; 'mask': (N,) a member, 1 at the steps its seed may see}.
    A member is a function of its key, its mask and the windows alone: it is the same whatever the ensemble's size.
    """
    adam = optax.scale_by_adam()
    schedule = optax.cosine_decay_schedule(config.learning_rate, config.steps, config.final_rate)

    def init(key: jax.Array, data: dict) -> EnsembleState:
        windows, mask = data['windows'], data['mask']
        bootstrap_key, params_key, batch_key, noise_key = (jax.random.fold_in(key, i) for i in range(4))
        params = _network(config, _shape(windows)).init(params_key, jnp.asarray(windows.obs)[0])
        return EnsembleState(
            step=jnp.zeros((), jnp.int32),
            key=batch_key,
            noise_key=noise_key,
            counts=_counts(config, bootstrap_key, windows, mask),
            params=params,
            moments=adam.init(params),
        )

    def loss(params, windows, indices):
        obs, chunk = windows.take(indices)  # (B, O), (B, T, A)
        mean, log_std = _moments(config, _shape(windows), params, obs)
        if log_std is None:
            return losses.squared_error(mean, chunk)
        return losses.gaussian_nll(mean, jnp.exp(log_std), chunk)

    def update(carry, indices, windows):
        step, params, moments = carry
        value, grads = jax.value_and_grad(loss)(params, windows, indices)
        value, grads = parallel.data_mean((value, grads))
        updates, moments = adam.update(grads, moments)
        rate = schedule(step)
        params = jax.tree.map(lambda p, u: p - rate * (u + config.weight_decay * p), params, updates)
        return (step + 1, params, moments), value

    def run_chunk(state: EnsembleState, data: dict):
        windows = data['windows']
        if config.bootstrap == 'perturbed':
            noise = jax.random.normal(state.noise_key, windows.actions.shape)  # the same in every chunk
            windows = windows.replace(actions=windows.actions + config.target_std * noise)
        indices = _indices(config, jax.random.fold_in(state.key, state.step), state.counts)
        (step, params, moments), values = jax.lax.scan(
            lambda carry, i: update(carry, i, windows), (state.step, state.params, state.moments), indices
        )
        return state.replace(step=step, params=params, moments=moments), {'loss': values.mean()}

    def policy(state: EnsembleState, data: dict) -> Predictor:
        return Predictor(params=state.params, config=config, shape=_shape(data['windows']))

    return Trainer(
        init=init,
        run_chunk=run_chunk,
        policy=policy,
        state_spec=P(parallel.LEARNER),
        data_spec={'windows': P(), 'mask': P(parallel.LEARNER)},
        rows=(config.batch_size,),
    )


def _shape(windows: Windows) -> tuple[int, int]:
    return windows.chunk, windows.actions.shape[-1]


def _network(config: EnsembleConfig, shape: tuple[int, int]) -> mlp.MLP:
    outputs = shape[0] * shape[1] * (2 if config.head == 'gaussian' else 1)
    return mlp.MLP(config.hidden, outputs, config.activation)


def _moments(config: EnsembleConfig, shape: tuple[int, int], params: Any, obs: jax.Array):
    """obs (..., O) -> mean (..., T, A) and, of the Gaussian head, log_std (..., T, A), else None."""
    out = _network(config, shape).apply(params, obs)
    if config.head == 'mse':
        return out.reshape(*obs.shape[:-1], *shape), None
    mean, log_std = (x.reshape(*obs.shape[:-1], *shape) for x in jnp.split(out, 2, axis=-1))
    return mean, jnp.clip(log_std, *LOG_STD_BOUNDS)


def _counts(config: EnsembleConfig, key: jax.Array, windows: Windows, mask: jax.Array) -> jax.Array:
    """How often the member's bootstrap holds each step, (N,)."""
    if config.bootstrap == 'trajectory':
        # every step could be an episode of its own: N bounds their number, which the windows do not know statically
        return bootstrap.trajectories(key, windows.episode, mask, episodes=mask.shape[0])
    if config.bootstrap == 'pair':
        return bootstrap.pairs(key, mask)
    return mask.astype(jnp.float32)


def _indices(config: EnsembleConfig, key: jax.Array, counts: jax.Array) -> jax.Array:
    """The steps that each row of a chunk's batches sees, (steps_per_chunk, this device's rows).

    All are drawn before the scan: one large search is cheaper than one a step (6% of a step at width 64, on a CPU). A
    row draws from its own key.
    """
    rows = parallel.local_rows(config.batch_size)
    uniforms = jax.vmap(lambda k: jax.random.uniform(k, (config.steps_per_chunk,)))(parallel.row_keys(key, rows))
    indices = bootstrap.draw(uniforms.ravel(), bootstrap.cumulative(counts))
    return indices.reshape(rows, config.steps_per_chunk).T
