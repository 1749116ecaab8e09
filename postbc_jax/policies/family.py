"""From a PolicyConfig to the functions of its family: the one place that knows which families exist.

Called by pretrain to fit and by Policy to decode.
"""

import functools

from postbc_jax.policies.config import PolicyConfig
from postbc_jax.policies.diffusion import diffusion
from postbc_jax.policies.flow import flow
from postbc_jax.policies.gaussian import gaussian
from postbc_jax.types import Family


@functools.cache
def build(config: PolicyConfig) -> Family:
    """The family's functions; the same objects for equal configs, so that equal policies share compiled code."""
    return {'gaussian': gaussian, 'diffusion': diffusion, 'flow': flow}[config.family](config)
