"""A stage small enough to be killed at every chunk: linear regression of a population of three, with its files.

Stands for every trainer in test_loop and test_preemption.
"""

import math
import pathlib
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax.sharding import PartitionSpec as P

from postbc_jax import checkpoint, loop, metrics, parallel, types

BATCH, STEPS, CHUNKS = 8, 5, 4
LABELS = [{'arm': 'bc', 'seed': 0}, {'arm': 'bc', 'seed': 1}, {'arm': 'post_bc', 'seed': 0}]


@struct.dataclass
class State:
    params: jax.Array  # (3,)
    optimiser: Any
    key: jax.Array
    rows: jax.Array  # (8,), each row's own running sum: stands for environments, split over the data axis
    step: jax.Array


def regression(bad_step=-1, warm_chunks=0):
    """Trainer of linear regression, noisy minibatches, adam. The gradient of bad_step is NaN. The warm-up moves the
    rows alone."""
    optimiser = optax.adam(0.05)

    def init(key, data):
        params = jax.random.normal(key, (3,))
        rows = jnp.zeros(parallel.local_rows(BATCH))
        return State(params, optimiser.init(params), key, rows, jnp.int32(0))

    def step(state, data):
        keys = parallel.row_keys(jax.random.fold_in(state.key, state.step), state.rows.shape[0])
        index = jax.vmap(lambda key: jax.random.randint(key, (), 0, data['x'].shape[0]))(keys)

        def loss_fn(params):
            return jnp.mean((data['x'][index] @ params - data['y'][index]) ** 2)

        loss, grad = parallel.data_mean(jax.value_and_grad(loss_fn)(state.params))
        grad = jnp.where(state.step == bad_step, jnp.nan, grad)
        updates, opt = optimiser.update(grad, state.optimiser)
        params = optax.apply_updates(state.params, updates)
        return State(params, opt, state.key, state.rows + data['y'][index], state.step + 1), {'loss': loss}

    def warm_chunk(state, data):
        after, values = run_chunk(state, data)
        return state.replace(rows=after.rows, step=after.step), values

    def run_chunk(state, data):
        state, values = jax.lax.scan(lambda state, _: step(state, data), state, length=STEPS)
        return state, jax.tree.map(jnp.mean, values)

    spec = State(P('learner'), P('learner'), P('learner'), P('learner', 'data'), P('learner'))
    warm = {'warm_chunk': warm_chunk, 'warm_chunks': warm_chunks} if warm_chunks else {}
    return types.Trainer(init, run_chunk, lambda state, data: state.params, spec, P(), **warm)


def make(directory, chunks=CHUNKS, trainer=None, **stage):
    """(stage, keys, data) of the regression on all devices."""
    mesh = parallel.mesh(len(LABELS))
    trainer = trainer or parallel.population(regression(), mesh)
    keys = parallel.learner_keys(jax.random.key(1), range(len(LABELS)), mesh)
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    data = parallel.shard({'x': x, 'y': x @ np.float32([1, -2, 3])}, mesh)
    directory = pathlib.Path(directory) / 'checkpoints'
    return loop.Stage('fit', trainer, mesh, LABELS, chunks, STEPS, directory, {'lr': 0.05}, **stage), keys, data


def evaluate(chunk, state, values):
    """A hook whose rows depend on the state and on the chunk."""
    norms = np.linalg.norm(parallel.gather(state.params, len(LABELS)), axis=1)
    rows = zip(LABELS, norms, strict=True)
    return [label | {'env_steps': chunk * STEPS, 'norm': norm} for label, norm in rows]


def run(directory, trainer=None, chunks=CHUNKS, after_chunk=evaluate, save_chunks=1, stage=None, **kwargs):
    """Runs the regression with its files in `directory`; saves after every so many calls, None: only where it must."""
    rows, results = (metrics.JsonLines(pathlib.Path(directory) / f'{name}.jsonl') for name in ('metrics', 'results'))
    stage, keys, data = make(directory, chunks, trainer, **(stage or {}))
    kwargs |= {'after_chunk': after_chunk, 'save_every': math.inf if save_chunks is None else 0.0}
    asked = []

    def busy(checkpoints):  # the loop asks after every call whether the last save is still being written
        asked.append(checkpoints.latest or 0)
        return (asked[0] + len(asked)) % save_chunks > 0

    with mock.patch.object(checkpoint.Checkpoints, 'busy', property(busy)):
        return loop.run(stage, keys, data, rows, results=results, **kwargs)


def numbers(state):
    """The state's leaves as bytes, without the padding."""
    leaves = jax.tree.leaves(parallel.gather(state.replace(key=jax.random.key_data(state.key)), len(LABELS)))
    return [leaf.tobytes().hex() for leaf in leaves]


def files(directory):
    return {name: (pathlib.Path(directory) / name).read_bytes() for name in ('metrics.jsonl', 'results.jsonl')}
