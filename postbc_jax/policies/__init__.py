"""Generative policies: the middle of the pipeline, fitted by pretrain, steered by finetune, played by evaluate.

A family is a few pure functions (types.Family) made from a PolicyConfig; a Policy is its parameters together with the
normaliser and the config, callable on an environment's own observations.
"""

from postbc_jax.policies.config import FAMILIES, PolicyConfig
from postbc_jax.policies.family import build
from postbc_jax.policies.policy import FLAGS, Policy
from postbc_jax.policies.spread import draws, spread

__all__ = ['FAMILIES', 'FLAGS', 'Policy', 'PolicyConfig', 'build', 'draws', 'spread']
