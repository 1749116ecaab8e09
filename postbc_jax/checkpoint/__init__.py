"""What lies on disk between the stages: training states that can be resumed, and policies for the next stage.

A thin layer over Orbax. Arrays are Orbax's, everything else is JSON; nothing is pickled, nothing is half-written.
"""

from postbc_jax.checkpoint.states import Checkpoints, incomplete
from postbc_jax.checkpoint.stored_policies import load_policies, load_policy, read_about, save_policy

__all__ = ['Checkpoints', 'incomplete', 'load_policies', 'load_policy', 'read_about', 'save_policy']
