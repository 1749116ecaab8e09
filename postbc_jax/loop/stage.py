"""What the loop is given and what it gives back: a population to train, what a hook leaves, what a stage leaves."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.sharding import Mesh

from postbc_jax.metrics import Row
from postbc_jax.types import Trainer


class After(NamedTuple):
    """What a hook leaves that does more than write rows.

    Attributes:
      rows: for `results`.
      state: what the next chunk begins with and what is saved, in the place of the state that the hook was given.
      others: {name: rows}, for the writers of these names.
    """

    rows: Iterable[Row]
    state: Any
    others: Mapping[str, Iterable[Row]] = {}


AfterChunk = Callable[[int, Any, dict[str, np.ndarray]], Iterable[Row] | After | None]


class Preempted(Exception):
    """The run was asked to stop; its state is saved and a restart goes on from there."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """One population to train.

    Attributes:
      name: written in every row ('stage'); the stages that share a metrics file have different names.
      trainer: mapped by parallel.population.
      mesh: the mesh that it was mapped over.
      labels: one mapping a learner, what its rows say of it: {'pretrain': 'post_bc', 'alpha': 1.0, 'seed': 0}.
      chunks: how many calls of run_chunk make the whole stage, after the trainer's warm-up.
      steps_per_chunk: how many steps one of them takes, for the column 'step'.
      directory: where its checkpoints lie.
      meta: JSON-able; the settings that must not change between a run and its restart. `chunks` need not be among
        them: a finished stage given more chunks goes on.
      mean_over_learners: one row a chunk, the mean over the population, instead of one row a learner.
    """

    name: str
    trainer: Trainer
    mesh: Mesh
    labels: Sequence[Mapping[str, Any]]
    chunks: int
    steps_per_chunk: int
    directory: str | os.PathLike
    meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    mean_over_learners: bool = False

    @property
    def learners(self) -> int:
        return len(self.labels)

    @property
    def calls(self) -> int:
        """All compiled calls: the warm-up's, then the chunks. Checkpoints are numbered by them."""
        return self.trainer.warm_chunks + self.chunks

    def place(self, call: int) -> str:
        """'chunk 2 of 3' or 'chunk 1 of 2 of the warm-up', for a message."""
        warm = self.trainer.warm_chunks
        return f'chunk {call} of {warm} of the warm-up' if call <= warm else f'chunk {call - warm} of {self.chunks}'


class Outcome(NamedTuple):
    """What a finished stage leaves.

    Attributes:
      state: the population's final state, on the mesh.
      resumed_from: the calls that were already done when this one began; equal to stage.calls if it was finished.
      compile_seconds: what compiling took; 0 where nothing was left to run.
      run_seconds: what this call's chunks took, without compiling, hooks and saving.
    """

    state: Any
    resumed_from: int
    compile_seconds: float
    run_seconds: float
