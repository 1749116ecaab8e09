"""An iteration's decisions as samples: grouped, packed and shuffled into minibatches that any device count can share.

Between ppo's unroll and its updates. Groups are runs of neighbouring environments; a device holds whole groups.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from postbc_jax import parallel


class Samples(NamedTuple):
    """Decisions to learn from: obs (..., O), acting.Act's record (..., R) and log_prob (..., K'), and advantage and
    target (...)."""

    obs: jax.Array
    record: jax.Array
    log_prob: jax.Array
    advantage: jax.Array
    target: jax.Array


def standardise(advantage: jax.Array) -> jax.Array:
    """Inside pmap: (B,) to mean 0 and variance 1 over the minibatch's rows on all devices."""
    mean = parallel.data_mean(advantage.mean())
    centred = advantage - mean
    return centred / (jnp.sqrt(parallel.data_mean(jnp.square(centred).mean())) + 1e-8)


def by_group(samples: Samples, groups: int) -> Samples:
    """(U, E, ...) -> (G, U * E / G, ...): environments in G runs of neighbours."""

    def regroup(x):
        x = x.reshape(x.shape[0], groups, -1, *x.shape[2:])
        return jnp.moveaxis(x, 1, 0).reshape(groups, -1, *x.shape[3:])

    return jax.tree.map(regroup, samples)


def pack(samples: Samples) -> tuple[jax.Array, Callable[[jax.Array], Samples]]:
    """Samples (G, n, ...) as one array (G, n, F), which one gather can shuffle, and the inverse of its (B, F) rows."""
    columns = [x if x.ndim == 3 else x[..., None] for x in samples]
    ends = [sum(c.shape[-1] for c in columns[: i + 1]) for i in range(len(columns) - 1)]

    def unpack(rows: jax.Array) -> Samples:
        parts = jnp.split(rows.reshape(-1, rows.shape[-1]), ends, axis=-1)
        return Samples(*(part if x.ndim == 3 else part[..., 0] for part, x in zip(parts, samples, strict=True)))

    return jnp.concatenate(columns, axis=-1), unpack


def minibatches(key: jax.Array, groups: int, size: int, epochs: int, count: int) -> jax.Array:
    """Inside pmap: rows (epochs * count, G, n / count) int32: the minibatches of every epoch, as rows of each group.

    An epoch permutes each group's rows; every minibatch holds the same share of every group.

    Args:
      key: one for the learner; a group draws from fold_in(key, its logical index).
      groups: G, this device's.
      size: n, samples in a group.
      epochs: passes over the samples.
      count: minibatches in a pass; divides n (PPOConfig.group_samples).
    """
    keys = parallel.row_keys(key, groups)
    order = jax.vmap(lambda k: jnp.argsort(jax.random.bits(k, (epochs, size))))(keys)
    return jnp.moveaxis(order.reshape(groups, epochs * count, size // count), 1, 0)
