"""A population of one learner a probe, for the `trainer` fixture of the test module that asks for it."""

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from postbc_jax import parallel
from tests.finetune import probes


@pytest.fixture(scope='module')
def population(trainer):
    """The compiled population, its mesh and its data."""
    mesh = parallel.mesh(probes.PROBES)
    kinds = parallel.shard(np.arange(probes.PROBES, dtype=np.int32), mesh, P('learner'))
    return parallel.population(trainer, mesh), mesh, kinds


@pytest.fixture(scope='module')
def start(population):
    """A function that makes the state before the first chunk anew: run_chunk donates it."""
    mapped, mesh, kinds = population

    def begin():
        state = mapped.init(parallel.learner_keys(jax.random.key(0), [0] * probes.PROBES, mesh), kinds)
        for _ in range(mapped.warm_chunks):
            state, _ = mapped.warm_chunk(state, kinds)
        return state

    return begin


@pytest.fixture(scope='module')
def trained(population, start):
    """State and metrics after each of two chunks, as numpy."""
    mapped, _, kinds = population
    state, found = start(), []
    for _ in range(2):
        state, metrics = mapped.run_chunk(state, kinds)
        found.append(jax.tree.map(probes.to_numpy, (state, metrics)))
    return found
