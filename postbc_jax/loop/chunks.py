"""The one host loop: restore, run chunks of training, write rows, save, stop when asked.

Every stage that learns (ensemble, pretraining, each finetuner) is a population-mapped Trainer and runs here.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.experimental.compilation_cache import compilation_cache as jax_compilation_cache

from postbc_jax import parallel
from postbc_jax.checkpoint import Checkpoints
from postbc_jax.loop.rows import Rows, refuse_bad
from postbc_jax.loop.stage import AfterChunk, Outcome, Preempted, Stage
from postbc_jax.metrics import Writer


def run(
    stage: Stage,
    keys: jax.Array,
    data: Any,
    metrics: Writer,
    *,
    results: Writer | None = None,
    others: Mapping[str, Writer] | None = None,
    after_chunk: AfterChunk | None = None,
    progress: Callable[[int, int, dict[str, float]], None] | None = None,
    stop: Callable[[], bool] | None = None,
    save_every: float = 60.0,
) -> Outcome:
    """Runs a stage to its end, from its newest checkpoint where there is one.

    An interrupted run that is started again ends with the same state, bit for bit, and the same rows in `metrics` and
    `results` and `others`: rows are on disk before the checkpoint that covers them, and a restart drops those past its
    checkpoint. A trainer's warm-up is saved and resumed like the rest, but writes no rows and has no hook.

    Args:
      stage: what to run.
      keys: typed keys (padded learners,), from parallel.learner_keys; read only by a fresh start.
      data: the trainer's data, on the mesh, the same at every start.
      metrics: gets the rows {'stage', 'chunk', 'step', 'learner', **label, **metrics}, 'chunk' counting from 1.
      results: gets the rows that after_chunk returns, with 'stage' and 'chunk' added.
      others: more files by name, for the rows of After.others; written and taken back as `results`.
      after_chunk: (chunk, state, metrics) -> rows or None, called after every chunk, and at a fresh start with chunk 0
        and no metrics, for the first point of a curve. It must depend on its arguments alone, and must not keep the
        state, which is donated to the next chunk. metrics: {name: (learners,)}. An After changes the state too: what it
        must remember for that, it keeps in the state.
      progress: (calls done, stage.calls, numbers to show), called at the start and after every call; the numbers are
        the metrics' means over the learners, 'compile_seconds' (that this call waited for, not counted as its own) and,
        but for the warm-up, 'steps_per_second' (of each learner).
      stop: asked between calls, whether to save and stop (a SIGTERM came). True on any process stops all.
      save_every: seconds between saves, besides those at the end of the stage and when stopped.

    Raises:
      Preempted: `stop` said so.
      FloatingPointError: a metric is not finite, or the state to be saved holds NaN. The last good checkpoint stays.
      ValueError: stage.chunks < 1; the checkpoints are another run's, or have more chunks than stage.chunks.
    """
    if stage.chunks < 1:
        raise ValueError(f'{stage.name}: chunks={stage.chunks}: a stage has at least one chunk')
    meta = {'stage': stage.name, 'labels': list(stage.labels), 'steps_per_chunk': stage.steps_per_chunk, **stage.meta}
    if stage.trainer.warm_chunks:
        meta['warm_chunks'] = stage.trainer.warm_chunks
    rows = Rows(stage, metrics, results, others or {})
    with Checkpoints(stage.directory, meta, stage.learners) as checkpoints:
        start = checkpoints.latest
        if start is not None and start > stage.calls:
            had = start - stage.trainer.warm_chunks
            raise ValueError(f'{stage.directory}: has {had} chunks already, more than the {stage.chunks} asked for')
        rows.rewind(start)
        if start is None:
            state = stage.trainer.init(keys, data)
            if after_chunk:
                state = rows.add_results(0, after_chunk(0, state, {}), state)
        else:
            abstract = jax.eval_shape(stage.trainer.init, keys, data)
            state = checkpoints.restore(abstract, stage.mesh, stage.trainer.state_spec)
        done = start or 0
        if progress:
            progress(done, stage.calls, {})
        if done == stage.calls:
            return Outcome(state, done, 0.0, 0.0)
        return _run_chunks(stage, state, data, done, checkpoints, rows, after_chunk, progress, stop, save_every)


def _run_chunks(stage, state, data, start, checkpoints, rows, after_chunk, progress, stop, save_every) -> Outcome:
    """The loop of `run`. A call's metrics are fetched once the next call is on its way, unless someone waits."""
    if _agree(stop and stop())[0]:
        raise Preempted(f'{stage.name}: stopped before {stage.place(start + 1)}')
    warm, program = stage.trainer.warm_chunks, None
    compile_seconds, run_seconds, compiling = 0.0, 0.0, 0.0
    mark = saved_at = time.monotonic()
    pending = None

    def record(call, values):
        """Writes the rows of a call and returns its metrics {name: (learners,)}; waits until they are there."""
        nonlocal run_seconds, mark, compiling
        values = rows.add_metrics(call - warm, parallel.gather(values, stage.learners))
        now = time.monotonic()
        seconds, mark = max(0.0, now - mark - compiling), now
        run_seconds += seconds
        if progress:
            speed = {'steps_per_second': stage.steps_per_chunk / max(seconds, 1e-9)} if call > warm else {}
            means = {name: float(value.mean()) for name, value in values.items()}
            progress(call, stage.calls, means | speed | {'compile_seconds': compiling})
        compiling = 0.0
        return values

    for call in range(start + 1, stage.calls + 1):
        if program is None or call == warm + 1:
            began = time.monotonic()
            function = stage.trainer.warm_chunk if call <= warm else stage.trainer.run_chunk
            program = function.lower(state, data).compile()
            compiling = time.monotonic() - began
            compile_seconds += compiling
        state, values = program(state, data)
        if pending:
            record(*pending)
        pending = (call, values)
        elapsed = time.monotonic() - saved_at
        stopping, due = _agree(stop and stop(), elapsed >= save_every and not checkpoints.busy)
        due |= stopping or call == stage.calls
        hook = after_chunk if call > warm else None
        if due or hook:
            values, pending = record(*pending), None
            if hook:
                state = rows.add_results(call - warm, hook(call - warm, state, values), state)
            if due:
                _refuse_nan(stage, state, call - warm)
                rows.sync()
                checkpoints.save(call, state)
                saved_at = time.monotonic()
            mark = time.monotonic()
        if stopping and call < stage.calls:
            raise Preempted(f'{stage.name}: stopped and saved after {stage.place(call)}')
    return Outcome(state, start, compile_seconds, run_seconds)


@jax.jit
def _has_nan(state: Any) -> list[jax.Array | None]:
    """For every leaf of the state (learners, ...), which learners have NaN in it (learners,)."""
    leaves = jax.tree.leaves(state)
    floats = [x if jnp.issubdtype(x.dtype, jnp.inexact) else None for x in leaves]
    return [None if x is None else jnp.isnan(x).any(axis=tuple(range(1, x.ndim))) for x in floats]


def _refuse_nan(stage: Stage, state: Any, chunk: int) -> None:
    """Metrics may be finite although the last update of a chunk was not: such a state must not replace a good one."""
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(state)]
    bad = parallel.gather(_has_nan(state), stage.learners)
    for path, leaf in zip(paths, bad, strict=True):
        if leaf is not None:
            refuse_bad(stage, f'state{path}', leaf, chunk)


def _agree(stop: Any, due: bool = False) -> tuple[bool, bool]:
    """(stop, due) as all processes must see them: saving is collective, but clocks and signals are each one's own."""
    if jax.process_count() == 1:
        return bool(stop), due
    flags = multihost_utils.process_allgather(np.array([bool(stop), due]))  # (processes, 2)
    return bool(flags[:, 0].any()), bool(flags[0, 1])


def compilation_cache(directory: str | os.PathLike) -> None:
    """Keeps every compiled program that took more than .1 s in `directory`, and looks there before compiling.

    At the sizes of this project compiling costs more than training. Switches it on for this process.
    """
    jax.config.update('jax_compilation_cache_dir', os.fspath(directory))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)
    jax.config.update('jax_persistent_cache_min_entry_size_bytes', 0)
    jax_compilation_cache.reset_cache()  # or jax would stay with the directory that it opened first
