"""A chain of the sampler's own steps, for tests of what they amount to where the clean chunk is known."""

import jax

from postbc_jax.policies import chain, sampler
from postbc_jax.types import Family


def rolled(clean, shape, steps, key):
    """(chunk (T, A), Steps) of the whole ancestral chain along these steps; shape (T, A)."""
    count = len(steps.time)
    transition = lambda params, obs, x, index: sampler.ancestral(clean, x, steps, index)  # noqa: E731
    family = Family(None, None, None, transition, count, shape)
    return chain.roll(family, None, None, count, None, jax.random.normal(key, (count + 1, *shape)))
