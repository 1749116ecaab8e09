"""The guide: one small Gaussian policy that says at a state what the posterior's members say together.

Between the posterior and the envelope: reads the ensemble and the demonstrations, gives the Policy whose mean and
standard deviation are the envelope's centre and spread. A learner is one guide (parallel.population).
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import PartitionSpec as P

from postbc_jax import parallel, policies
from postbc_jax.data import bootstrap
from postbc_jax.data.normaliser import Normaliser
from postbc_jax.data.windows import Windows
from postbc_jax.posterior.ensemble import Predictor
from postbc_jax.types import Params, Trainer

MIN_STD = 0.03  # of a guide, normalised: with .01 the demonstrated states, sure of themselves, drown what lies between
AT_ONCE = 256  # demonstrated states that all members are asked about, which bounds the memory
DEMONSTRATED = 0.5  # share of a batch that is at demonstrated states; the rest lies between two of them


@dataclasses.dataclass(frozen=True)
class GuideConfig:
    """What all guides share.

    Attributes:
      policy: of the 'gaussian' family.
      steps: optimiser steps; the learning rate falls over them to 0 by a cosine.
      steps_per_chunk: in one compiled call.
      batch_size: examples a step.
      learning_rate: Adam's, at its peak.
    """

    policy: policies.PolicyConfig
    steps: int = 2000
    steps_per_chunk: int = 500
    batch_size: int = 256
    learning_rate: float = 1e-3

    def __post_init__(self):
        if self.policy.family != 'gaussian':
            raise ValueError(f'family={self.policy.family!r}: a guide is gaussian: its mean and std are the envelope')
        for name in ('steps', 'steps_per_chunk', 'batch_size'):
            if getattr(self, name) < 1:
                raise ValueError(f'{name}={getattr(self, name)}: must be at least 1')
        if self.steps % self.steps_per_chunk:
            raise ValueError(f'steps={self.steps}: must be a multiple of steps_per_chunk={self.steps_per_chunk}')
        if not self.learning_rate > 0:
            raise ValueError(f'learning_rate={self.learning_rate}: must be above 0')


@struct.dataclass
class GuideData:
    """What a guide learns from.

    Attributes:
      windows: normalised demonstrations, N steps.
      normaliser: stored with the guide.
      mask: (N,), 1 at the steps that it may see, else 0.
      members: Predictors (K, ...), fitted to bootstraps of these.
    """

    windows: Windows
    normaliser: Normaliser
    mask: jax.Array
    members: Predictor


@struct.dataclass
class GuideState:
    """One guide: step int32, key, params, moments (Adam's)."""

    step: jax.Array
    key: jax.Array
    params: Params
    moments: optax.OptState


class Example(NamedTuple):
    """key: of the loss. obs: (O,), s'. residual: (T, A), chunk - mean f(s)."""

    key: jax.Array
    obs: jax.Array
    residual: jax.Array


def in_turn(members: Predictor, obs: jax.Array, first: jax.Array) -> jax.Array:
    """What each state's own member says there: row i of obs (B, O) asks member (first + i) mod K -> (B, T, A)."""
    count, rows = len(jax.tree.leaves(members)[0]), len(obs)
    turns = -(-rows // count)
    places = (jnp.arange(count) - first) % count  # of each member's first row
    asked = jnp.minimum(places[:, None] + count * jnp.arange(turns), rows - 1)  # (K, turns)
    said = jax.vmap(lambda member, its: member(its))(members, obs[asked])  # (K, turns, T, A)
    row = jnp.arange(rows)
    return said[(first + row) % count, row // count]


def guide(config: GuideConfig) -> Trainer:
    """The trainer of one guide; `policy(state, data)` gives a policies.Policy.

    An example is a state s', a demonstrated one or a point on the line between two, and the chunk that member l would
    have shown there: f_l(s') + chunk - mean f(s), with s the demonstrated state that s' began at. At s itself that is
    PostBC's target of weight 1: the demonstrated chunk and the posterior's noise. Between demonstrations it is what the
    members, who disagree there, make of it, where a network fitted to demonstrated states alone would be sure.

    A batch's examples take the members in turn and mean f is asked once a chunk: all K at every example would cost 2 K
    times as much.
    """
    family = policies.build(config.policy)
    adam = optax.scale_by_adam()
    schedule = optax.cosine_decay_schedule(config.learning_rate, config.steps)

    def init(key: jax.Array, data: GuideData) -> GuideState:
        del data
        params = family.init(jax.random.fold_in(key, 0))
        return GuideState(jnp.zeros((), jnp.int32), jax.random.fold_in(key, 1), params, adam.init(params))

    def draw(key: jax.Array, cumulative: jax.Array, known: jax.Array, data: GuideData) -> Example:
        draws_key, loss_key = jax.random.split(key)
        uniforms = jax.random.uniform(draws_key, (4,))
        here, there = bootstrap.draw(uniforms[:2], cumulative)
        (obs, chunk), (other, _) = data.windows.take(here), data.windows.take(there)
        share = jnp.where(uniforms[2] < DEMONSTRATED, 0.0, uniforms[3])
        return Example(loss_key, obs + share * (other - obs), chunk - known[here])

    def update(state: GuideState, cumulative: jax.Array, known: jax.Array, data: GuideData):
        rows = parallel.local_rows(config.batch_size)
        keys = parallel.row_keys(jax.random.fold_in(state.key, state.step), rows)
        examples = jax.vmap(draw, in_axes=(0, None, None, None))(keys, cumulative, known, data)
        targets = examples.residual + in_turn(data.members, examples.obs, parallel.first_row(rows))

        def loss(params):
            return jax.vmap(family.loss, in_axes=(None, 0, 0, 0))(params, examples.key, examples.obs, targets)[0].mean()

        value, grads = parallel.data_mean(jax.value_and_grad(loss)(state.params))
        updates, moments = adam.update(grads, state.moments)
        rate = schedule(state.step)
        params = jax.tree.map(lambda p, u: p - rate * u, state.params, updates)
        return state.replace(step=state.step + 1, params=params, moments=moments), value

    def run_chunk(state: GuideState, data: GuideData):
        cumulative = bootstrap.cumulative(data.mask)
        known = jax.lax.map(
            lambda obs: jax.vmap(lambda member: member(obs))(data.members).mean(axis=0),
            data.windows.obs,
            batch_size=AT_ONCE,
        )
        state, values = jax.lax.scan(
            lambda carry, _: update(carry, cumulative, known, data), state, length=config.steps_per_chunk
        )
        return state, {'loss': values.mean()}

    def policy(state: GuideState, data: GuideData) -> policies.Policy:
        return policies.Policy(params=state.params, normaliser=data.normaliser, config=config.policy)

    each = P(parallel.LEARNER)
    return Trainer(
        init=init,
        run_chunk=run_chunk,
        policy=policy,
        state_spec=each,
        data_spec=GuideData(windows=P(), normaliser=P(), mask=each, members=each),
        rows=(config.batch_size,),
    )
