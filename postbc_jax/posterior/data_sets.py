"""Thousands of demonstration sets at once, and what an estimator makes of each: how coverage and cost are measured.

After the tabular estimators, before the page. One data set is a function of its index; all are one compiled program,
the same for every number of demonstrations and every setting of an estimator.
"""

import functools

import jax
import jax.numpy as jnp
from flax import struct

from postbc_jax.posterior import mdp as mdps
from postbc_jax.posterior import tabular
from postbc_jax.posterior.instances import Instance
from postbc_jax.posterior.tabular import Settings


@struct.dataclass
class Outcomes:
    """What an estimator's policy is, a data set each, (D,).

    Attributes:
      missed: whether it gives probability 0 to all of a group of actions of the demonstrator's (Instance.groups).
      coverage: gamma.
      suboptimality: J(pi_beta) - J(pi), exact; negative where the policy is better.
      above_bound: the least probability over its bound in Lemma 1; below 1 it is violated. Infinite but for PostBC.
    """

    missed: jax.Array
    coverage: jax.Array
    suboptimality: jax.Array
    above_bound: jax.Array


def sample(key: jax.Array, instance: Instance, demonstrations: int, datasets: int) -> jax.Array:
    """Counts of D data sets of T demonstrations each, (D, H, S, A); the d-th is a function of key and d alone.

    Raises:
      ValueError: no demonstration, or no data set.
    """
    if min(demonstrations, datasets) < 1:
        raise ValueError(f'demonstrations={demonstrations}, datasets={datasets}: must both be at least 1')
    return _sample(key, instance.mdp, instance.demonstrator, demonstrations, datasets)


@functools.partial(jax.jit, static_argnames='datasets')
def _sample(key, mdp, demonstrator, demonstrations, datasets):
    def one(index):
        return mdps.demonstrate(jax.random.fold_in(key, index), mdp, demonstrator, demonstrations)

    return jax.vmap(one)(jnp.arange(datasets))


def outcomes(instance: Instance, counts: jax.Array, settings: Settings, delta: float) -> Outcomes:
    """counts (D, H, S, A) -> the outcomes (D,) of PostBC with these settings; of BC and uniform mixing with theirs.

    delta: of Lemma 1.
    """
    settings = Settings(*(jnp.asarray(x, jnp.float32) for x in settings))
    return _outcomes(instance.mdp, instance.demonstrator, instance.groups, counts, settings, delta)


@functools.partial(jax.jit, static_argnames='delta')
def _outcomes(mdp, demonstrator, groups, counts, settings, delta):
    best = mdps.value(mdp, demonstrator)

    def one(counts):
        policy = tabular.post_bc(counts, *settings)
        return Outcomes(
            missed=jnp.any(jnp.all((policy == 0) | ~groups, axis=(1, 2, 3))),
            coverage=tabular.coverage(policy, demonstrator),
            suboptimality=best - mdps.value(mdp, policy),
            above_bound=tabular.above_bound(policy, demonstrator, settings, delta),
        )

    return jax.vmap(one)(counts)


@jax.jit
def policies(counts: jax.Array, settings: Settings) -> jax.Array:
    """counts (D, H, S, A) -> PostBC's policies with these settings, (D, H, S, A)."""
    return jax.vmap(lambda one: tabular.post_bc(one, *settings))(counts)
