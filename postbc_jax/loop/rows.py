"""The rows of a stage: checked, written, and taken back when a restart repeats their chunk."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from postbc_jax.loop.stage import After, Stage
from postbc_jax.metrics import Row, Writer


class Rows:
    """The rows of one stage: made, written, and taken back when a restart repeats their chunk."""

    def __init__(self, stage: Stage, metrics: Writer, results: Writer | None, others: Mapping[str, Writer]):
        self._stage, self._metrics, self._results, self._others = stage, metrics, results, others

    def _writers(self) -> list[Writer]:
        return [writer for writer in (self._metrics, self._results, *self._others.values()) if writer]

    def rewind(self, call: int | None) -> None:
        """Drops this stage's rows past the checkpoint (all of them where there is none)."""
        last = -1 if call is None else max(0, call - self._stage.trainer.warm_chunks)
        for writer in self._writers():
            writer.rewind(lambda row: row.get('stage') != self._stage.name or row.get('chunk', 0) <= last)

    def sync(self) -> None:
        for writer in self._writers():
            writer.sync()

    def add_results(self, chunk: int, left: Iterable[Row] | After | None, state: Any) -> Any:
        """Writes the rows that a hook has left; returns the state to go on with."""
        left = left if isinstance(left, After) else After(left or (), state)
        head = {'stage': self._stage.name, 'chunk': chunk}
        for name, rows in {'results': left.rows, **left.others}.items():
            writer = self._results if name == 'results' else self._others.get(name)
            if rows and writer is None:
                said = f'after_chunk returned rows, but there is no `{name}` to write them to'
                raise ValueError(f'{self._stage.name}: {said}')
            for row in rows:
                writer.append(head | dict(row) | head)
        return left.state

    def add_metrics(self, chunk: int, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Checks and writes the metrics of a chunk, {name: (learners,)}; those of the warm-up (below 1) are checked."""
        stage = self._stage
        head = {'stage': stage.name, 'chunk': chunk, 'step': chunk * stage.steps_per_chunk}
        for name, value in values.items():
            if value.shape != (stage.learners,):
                raise ValueError(f'{stage.name}: metric {name!r} has shape {value.shape[1:]}, but must be a scalar')
            refuse_bad(stage, f'metric {name!r}', ~np.isfinite(value), chunk, value)
        if chunk < 1:
            return values
        if stage.mean_over_learners:
            self._metrics.append(head | {'learners': stage.learners} | {n: v.mean() for n, v in values.items()})
            return values
        for i, label in enumerate(stage.labels):
            columns = head | {'learner': i} | dict(label)
            clash = columns.keys() & values.keys()
            if clash:
                raise ValueError(f'{stage.name}: {min(clash)!r} is a metric and also a column of the row; rename one')
            self._metrics.append(columns | {name: value[i] for name, value in values.items()})
        return values


def refuse_bad(stage: Stage, what: str, bad: np.ndarray, chunk: int, value: np.ndarray | None = None) -> None:
    """Stops at the first learner for which bad (learners,) is true."""
    if bad.any():
        i = int(np.argmax(bad))
        number = 'nan' if value is None else value[i]
        first, last = (chunk - 1) * stage.steps_per_chunk + 1, chunk * stage.steps_per_chunk
        when = f'steps {first} to {last}' if chunk > 0 else 'the warm-up'
        raise FloatingPointError(
            f'{stage.name}: learner {i} ({dict(stage.labels[i])}): {what} is {number} in {when}; '
            f'the last good checkpoint is in {stage.directory}'
        )
