"""The classes of policies that runs save, by name: what reads a folder of policies asks here."""

from postbc_jax.finetune.best_of_n import BestOfNPolicy
from postbc_jax.finetune.dppo import ChainPolicy
from postbc_jax.finetune.steer import SteeredPolicy
from postbc_jax.policies import Policy

KINDS = {kind.__name__: kind for kind in (Policy, SteeredPolicy, ChainPolicy, BestOfNPolicy)}
