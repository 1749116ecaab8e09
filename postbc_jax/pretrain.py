"""Pretraining: fits a generative policy to demonstrations noised by the posterior. BC and sigma-BC are special cases.

Third on the pipeline: reads the demonstrations' windows and the posterior's factors, gives the Policy that finetuning
starts from. PostBC, arXiv 2512.16911, Section 5: the family's ordinary loss on (s, a + alpha w), w ~ N(0, cov(s)).
"""

import dataclasses
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
from postbc_jax.posterior import noise
from postbc_jax.types import Trainer


@dataclasses.dataclass(frozen=True)
class PretrainConfig:
    """What all learners of a pretraining population share.

    Attributes:
      policy: the generative policy.
      steps: optimiser steps of the whole run; the learning rate falls over them by a cosine.
      steps_per_chunk: optimiser steps in one compiled call.
      batch_size: examples a step.
      warmup: steps over which the learning rate rises linearly from 0.
      final_rate: the learning rate at the end, as a share of its peak.
      ema_decay: of the parameters' exponential moving average, which is the policy.
      covariance: 'full' or 'diagonal', the part of the posterior covariance that the noise keeps.
      dropout: whether any learner has a dropout rate; where not, the program draws no masks.
    """

    policy: policies.PolicyConfig
    steps: int
    steps_per_chunk: int
    batch_size: int = 256
    warmup: int = 100
    final_rate: float = 0.1
    ema_decay: float = 0.995
    covariance: str = 'full'
    dropout: bool = False

    def __post_init__(self):
        for name in ('steps', 'steps_per_chunk', 'batch_size'):
            if getattr(self, name) < 1:
                raise ValueError(f'pretrain.{name}={getattr(self, name)}: must be at least 1')
        if not 0 <= self.warmup < self.steps:
            raise ValueError(f'pretrain.warmup={self.warmup}: must be at least 0 and less than steps={self.steps}')
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f'pretrain.ema_decay={self.ema_decay}: must be at least 0 and less than 1')
        if not 0 <= self.final_rate <= 1:
            raise ValueError(f'pretrain.final_rate={self.final_rate}: must lie in [0, 1]')
        if self.covariance not in noise.COVARIANCES:
            raise ValueError(f'covariance={self.covariance!r}: choose one of {", ".join(noise.COVARIANCES)}')


@struct.dataclass
class Arm:
    """What differs between learners: continuous, so that every arm runs in the same executable.

    Attributes:
      alpha: PostBC's weight of the posterior noise; 0 for BC and sigma-BC.
      sigma: sigma-BC's standard deviation in normalised action units; 0 for BC and PostBC.
      learning_rate: peak learning rate.
      weight_decay: decoupled, as in AdamW.
      source: int32, the row of `factors`, `mask` and `quality` that this learner reads (its seed's).
      dropout: rate in [0, 1) of the hidden units that a training step leaves out; 0 for none.
      beta: weighted BC's: a step is drawn in proportion to exp(beta quality); 0 for all alike.
    """

    alpha: jax.Array
    sigma: jax.Array
    learning_rate: jax.Array
    weight_decay: jax.Array
    source: jax.Array
    dropout: jax.Array
    beta: jax.Array


@struct.dataclass
class PretrainData:
    """What pretraining reads. S seeds, each with its own subset of demonstrations and its own posterior.

    Attributes:
      windows: normalised demonstrations, N steps.
      normaliser: stored with the policy.
      factors: (S, M, R, T, A), the posterior's (noise.factors) at the steps that the seed's subset holds, in their
        order; M is the most that a seed has, and what is beyond a seed's own is not read.
      mask: (S, N), 1 at the steps that the seed's subset holds, else 0.
      quality: (S, N), at most 0: data.quality.scores; read where an arm's beta is not 0.
      arm: one Arm a learner.
    """

    windows: Windows
    normaliser: Normaliser
    factors: jax.Array
    mask: jax.Array
    quality: jax.Array
    arm: Arm


@struct.dataclass
class PretrainState:
    """One learner: step int32, key, params, ema (parameters), moments (Adam's)."""

    step: jax.Array
    key: jax.Array
    params: Any
    ema: Any
    moments: Any


def pretrain(config: PretrainConfig) -> Trainer:
    """The trainer of one policy; `policy(state, data)` gives a policies.Policy with the averaged parameters.

    Learners with the same key (a seed) start from the same parameters and see the same batches and noise draws,
    whatever their arm: their comparison is paired (weighted BC draws other steps by the same uniform numbers). All of
    an Arm's numbers 0 is behavioural cloning, bit for bit.
    """
    family = policies.build(config.policy)
    adam = optax.scale_by_adam()
    schedule = optax.warmup_cosine_decay_schedule(
        0.0 if config.warmup else 1.0, 1.0, config.warmup, config.steps, config.final_rate
    )

    def init(key: jax.Array, data: PretrainData) -> PretrainState:
        del data
        params = family.init(jax.random.fold_in(key, 0))
        return PretrainState(
            step=jnp.zeros((), jnp.int32),
            key=jax.random.fold_in(key, 1),
            params=params,
            ema=params,
            moments=adam.init(params),
        )

    def example_loss(params, key, index, row, data):
        posterior_key, isotropic_key, loss_key = jax.random.split(key, 3)
        obs, chunk = data.windows.take(index)
        w = noise.sample(posterior_key, data.factors[data.arm.source, row], config.covariance)
        isotropic = jax.random.normal(isotropic_key, chunk.shape)
        target = chunk + data.arm.alpha * w + data.arm.sigma * isotropic  # not clipped: clipping would bias the mean
        mask_key = jax.random.fold_in(loss_key, 2)  # 0 and 1 are the keys into which a loss splits its own
        dropout = networks.Dropout(data.arm.dropout, mask_key) if config.dropout else None
        return family.loss(params, loss_key, obs, target, dropout)

    def batch_loss(params, keys, indices, rows, data):
        losses, metrics = jax.vmap(example_loss, in_axes=(None, 0, 0, 0, None))(params, keys, indices, rows, data)
        return losses.mean(), jax.tree.map(jnp.mean, metrics)

    def update(state: PretrainState, cumulative: jax.Array, rank: jax.Array, data: PretrainData):
        local = parallel.local_rows(config.batch_size)
        keys = parallel.row_keys(jax.random.fold_in(state.key, state.step), local)
        index_keys, keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        indices = bootstrap.draw(jax.vmap(jax.random.uniform)(index_keys), cumulative)
        rows = rank[indices].astype(jnp.int32) - 1  # among the steps that the mask holds, from 0
        (loss, metrics), grads = jax.value_and_grad(batch_loss, has_aux=True)(state.params, keys, indices, rows, data)
        loss, metrics, grads = parallel.data_mean((loss, metrics, grads))
        updates, moments = adam.update(grads, state.moments)
        rate = data.arm.learning_rate * schedule(state.step)
        params = jax.tree.map(lambda p, u: p - rate * (u + data.arm.weight_decay * p), state.params, updates)
        ema = optax.incremental_update(params, state.ema, 1 - config.ema_decay)
        state = state.replace(step=state.step + 1, params=params, ema=ema, moments=moments)
        return state, {'loss': loss, 'gradient_norm': optax.tree.norm(grads), **metrics}

    def run_chunk(state: PretrainState, data: PretrainData):
        mask, quality = data.mask[data.arm.source], data.quality[data.arm.source]
        rank = bootstrap.cumulative(mask)
        cumulative = bootstrap.cumulative(mask * jnp.exp(data.arm.beta * quality))  # exactly the mask where beta is 0
        state, metrics = jax.lax.scan(
            lambda carry, _: update(carry, cumulative, rank, data), state, length=config.steps_per_chunk
        )
        return state, jax.tree.map(jnp.mean, metrics)

    def policy(state: PretrainState, data: PretrainData) -> policies.Policy:
        return policies.Policy(params=state.ema, normaliser=data.normaliser, config=config.policy)

    return Trainer(
        init=init,
        run_chunk=run_chunk,
        policy=policy,
        state_spec=P(parallel.LEARNER),
        data_spec=PretrainData(
            windows=P(), normaliser=P(), factors=P(), mask=P(), quality=P(), arm=P(parallel.LEARNER)
        ),
        rows=(config.batch_size,),
    )
