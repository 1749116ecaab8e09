"""The one host loop, in which every stage that learns runs: restore, run chunks, write rows, save, stop when asked."""

from postbc_jax.loop.chunks import compilation_cache, run
from postbc_jax.loop.stage import After, AfterChunk, Outcome, Preempted, Stage

__all__ = ['After', 'AfterChunk', 'Outcome', 'Preempted', 'Stage', 'compilation_cache', 'run']
